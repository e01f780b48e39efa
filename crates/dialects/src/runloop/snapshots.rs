//! Handlers of disk snapshots.

use axum::extract::State;
use axum::http::Uri;
use pinfold_engine::{Cursor, DescribeSnapshot, Engine};
use pinfold_http::{Caller, Json, Path};
use pinfold_model::{Ctx, Snapshot};

use super::errors::Refused;
use super::metadata;
use super::poll::{Pages, RequestKey};
use super::to_wire::{Origins, source_blueprint};
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
    told(&engine, &ctx, made.value).await
}

pub(super) async fn status(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::SnapshotStatus>, Refused> {
    let found = engine.get_snapshot(&ctx, &ids::snapshot(&id)?).await?;
    let origins = engine
        .origins_of_snapshots(&ctx, std::slice::from_ref(&found))
        .await?;
    Ok(Json(to_wire::snapshot_status(found, &origins)))
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
    let blueprint = &query.source_blueprint_id;
    let mut pages = Pages::new(query.limit, after)?;
    let mut origins = Origins::new();
    while let Some(page) = pages.wanted() {
        let found = engine.list_snapshots(&ctx, devbox.as_ref(), &page).await?;
        origins.extend(engine.origins_of_snapshots(&ctx, &found.items).await?);
        pages.take(found, |one: &Snapshot| {
            metadata.iter().all(|wanted| wanted.fits(&one.metadata))
                && (blueprint.is_none() || *blueprint == source_blueprint(one, &origins))
        })?;
    }
    let (found, has_more) = pages.finish();
    let snapshots = found.into_iter();
    let snapshots = snapshots.map(|one| to_wire::snapshot(one, &origins));
    let snapshots = snapshots.collect();
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
    told(&engine, &ctx, changed).await
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

async fn told(
    engine: &Engine,
    ctx: &Ctx,
    snapshot: Snapshot,
) -> Result<Json<wire::Snapshot>, Refused> {
    let one = std::slice::from_ref(&snapshot);
    let origins = engine.origins_of_snapshots(ctx, one).await?;
    Ok(Json(to_wire::snapshot(snapshot, &origins)))
}

fn description(request: wire::DescribeSnapshot) -> DescribeSnapshot {
    DescribeSnapshot {
        name: request.name,
        message: request.commit_message,
        metadata: request.metadata,
    }
}
