//! Handlers of sandboxes.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use pinfold_engine::Engine;
use pinfold_http::{Caller, IdempotencyKey, Json, Path};

use super::errors::Refused;
use super::{from_wire, ids, to_wire, wire};

type Answer = Result<Json<wire::OneSandbox>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateSandbox>,
) -> Result<Response, Refused> {
    let by_slug = request.template_version_id.is_none();
    let request = from_wire::create_sandbox(request)?;
    let made = engine.create_sandbox(&ctx, request, key.as_deref()).await;
    let made = made.map_err(|error| from_wire::refused_create(error, by_slug))?;
    let sandbox = to_wire::sandbox(&ctx, made.value);
    Ok((StatusCode::CREATED, Json(wire::OneSandbox { sandbox })).into_response())
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let sandbox = engine.get_sandbox(&ctx, &ids::sandbox(&id)?).await?;
    let sandbox = to_wire::sandbox(&ctx, sandbox);
    Ok(Json(wire::OneSandbox { sandbox }))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Result<Json<wire::Page<wire::Sandbox>>, Refused> {
    let (filter, page) = from_wire::list_sandboxes(pinfold_http::pairs(&uri)?)?;
    let found = engine.list_sandboxes(&ctx, &filter, &page).await?;
    Ok(Json(to_wire::page(found, |one| {
        to_wire::sandbox(&ctx, one)
    })))
}

pub(super) async fn kill(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let sandbox = engine.destroy_sandbox(&ctx, &ids::sandbox(&id)?).await?;
    let sandbox = to_wire::sandbox(&ctx, sandbox);
    Ok(Json(wire::OneSandbox { sandbox }))
}

pub(super) async fn extend(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::ExtendSandbox>,
) -> Answer {
    let (id, ttl) = (ids::sandbox(&id)?, from_wire::extend(&request)?);
    let sandbox = engine
        .extend_sandbox(&ctx, &id, ttl, key.as_deref())
        .await?;
    let sandbox = to_wire::sandbox(&ctx, sandbox);
    Ok(Json(wire::OneSandbox { sandbox }))
}
