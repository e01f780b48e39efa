//! Handlers of projects, API keys and usage.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Engine, QuotaChange};
use pinfold_http::{Caller, Json, Path, Query};

use super::errors::Refused;
use super::{from_wire, ids, to_wire, wire};

type KeyAnswer = Result<Json<wire::OneApiKey>, Refused>;

pub(super) async fn projects(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListPage>,
) -> Result<Json<wire::Page<wire::Project>>, Refused> {
    let page = from_wire::page(query.limit, query.cursor.as_deref())?;
    let found = engine.list_projects(&ctx, &page).await?;
    Ok(Json(to_wire::page(found, to_wire::project)))
}

pub(super) async fn create_project(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Json(request): Json<wire::CreateProject>,
) -> Result<Response, Refused> {
    let quota = QuotaChange::default();
    let made = engine.create_project(&ctx, &request.name, quota).await?;
    let project = to_wire::project(made);
    Ok((StatusCode::CREATED, Json(wire::OneProject { project })).into_response())
}

pub(super) async fn keys(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListPage>,
) -> Result<Json<wire::Page<wire::ApiKey>>, Refused> {
    let page = from_wire::page(query.limit, query.cursor.as_deref())?;
    let found = engine.list_keys(&ctx, &page).await?;
    Ok(Json(to_wire::page(found, to_wire::api_key)))
}

pub(super) async fn key(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> KeyAnswer {
    let api_key = to_wire::api_key(engine.get_key(&ctx, &ids::key(&id)?).await?);
    Ok(Json(wire::OneApiKey { api_key }))
}

pub(super) async fn revoke_key(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> KeyAnswer {
    let api_key = to_wire::api_key(engine.revoke_key(&ctx, &ids::key(&id)?).await?);
    Ok(Json(wire::OneApiKey { api_key }))
}

pub(super) async fn usage(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
) -> Result<Json<wire::Usage>, Refused> {
    Ok(Json(to_wire::usage(&engine.project_month(&ctx).await?)))
}
