//! Handlers of axons, save their events and their SQL.

use axum::extract::State;
use axum::http::Uri;
use pinfold_engine::{Cursor, Engine};
use pinfold_http::{Caller, Json, Path};
use pinfold_model::Axon;

use super::errors::Refused;
use super::from_wire::axon as from_wire;
use super::poll::{Pages, RequestKey};
use super::{ids, metadata, to_wire, wire};

type Answer = Result<Json<wire::Axon>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::CreateAxon>,
) -> Answer {
    let request = from_wire::axon(request);
    let made = engine.create_axon(&ctx, request, key.as_deref()).await?;
    Ok(Json(to_wire::axon(made.value)))
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let found = engine.get_axon(&ctx, &ids::axon(&id)?).await?;
    Ok(Json(to_wire::axon(found)))
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::UpdateAxon>,
) -> Answer {
    let id = ids::axon(&id)?;
    let changed = engine.describe_axon(&ctx, &id, request.metadata).await?;
    Ok(Json(to_wire::axon(changed)))
}

pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Empty>, Refused> {
    engine.delete_axon(&ctx, &ids::axon(&id)?).await?;
    Ok(Json(wire::Empty {}))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Result<Json<wire::Axons>, Refused> {
    let (query, metadata) = metadata::filters::<wire::ListAxons>(&uri)?;
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_axon(&ctx, &ids::axon(id)?).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let wanted = |axon: &Axon| {
        let (id, name) = (axon.id.as_str(), axon.name.as_deref().unwrap_or_default());
        let is = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| {
            wanted.as_deref().is_none_or(fits)
        };
        is(&query.id, &|wanted| wanted == id)
            && is(&query.name, &|wanted| name.starts_with(wanted))
            && is(&query.search, &|wanted| {
                wanted == id || name.contains(wanted)
            })
            && metadata.iter().all(|one| one.fits(&axon.metadata))
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_axons(&ctx, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    let all = query.id.is_none() && query.name.is_none() && query.search.is_none();
    let counted = all && metadata.is_empty() && query.include_total_count != Some(false);
    let total_count = match counted {
        true => Some(engine.count_axons(&ctx).await?),
        false => None,
    };
    Ok(Json(wire::Axons {
        axons: found.into_iter().map(to_wire::axon).collect(),
        has_more,
        total_count,
    }))
}
