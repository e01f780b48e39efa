//! Handlers of disk snapshots.

use axum::extract::State;
use axum::http::Uri;
use pinfold_engine::{Cursor, DescribeSnapshot, Engine};
use pinfold_http::{Caller, Json, Path};
use pinfold_model::Snapshot;

use super::errors::Refused;
use super::metadata;
use super::poll::{Pages, RequestKey};
use super::{ids, to_wire, wire};

/// Takes no longer for a larger disk, so that the answer with "async" in its name is this one, too.
pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::DescribeSnapshot>,
) -> Result<Json<wire::Snapshot>, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let made = engine
        .describe_sandbox_snapshot(&ctx, &devbox, description(request), key.as_deref())
        .await?;
    Ok(Json(to_wire::snapshot(made.value)))
}

pub(super) async fn status(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::SnapshotStatus>, Refused> {
    let found = engine.get_snapshot(&ctx, &ids::snapshot(&id)?).await?;
    Ok(Json(to_wire::snapshot_status(found)))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Result<Json<wire::Snapshots>, Refused> {
    let (query, metadata) = metadata::filters::<wire::ListSnapshots>(&uri)?;
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_snapshot(&ctx, &ids::snapshot(id)?).await?;
            Some(Cursor::new(last.created_at, last.image.to_string()))
        }
        None => None,
    };
    let devbox = query.devbox_id.as_deref().map(ids::devbox).transpose()?;
    let wanted = |snapshot: &Snapshot| {
        query.source_blueprint_id.is_none()
            && metadata
                .iter()
                .all(|wanted| wanted.fits(&snapshot.metadata))
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(
            engine.list_snapshots(&ctx, devbox.as_ref(), &page).await?,
            wanted,
        )?;
    }
    let (found, has_more) = pages.finish();
    let snapshots = found.into_iter().map(to_wire::snapshot).collect();
    Ok(Json(wire::Snapshots {
        snapshots,
        has_more,
    }))
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::DescribeSnapshot>,
) -> Result<Json<wire::Snapshot>, Refused> {
    let id = ids::snapshot(&id)?;
    let changed = engine
        .update_snapshot(&ctx, &id, description(request))
        .await?;
    Ok(Json(to_wire::snapshot(changed)))
}

pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Json<wire::Empty>, Refused> {
    let id = ids::snapshot(&id)?;
    engine.delete_snapshot(&ctx, &id).await?;
    Ok(Json(wire::Empty {}))
}

fn description(request: wire::DescribeSnapshot) -> DescribeSnapshot {
    DescribeSnapshot {
        name: request.name,
        message: request.commit_message,
        metadata: request.metadata,
    }
}
