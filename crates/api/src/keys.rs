//! Routes of keys. All need an admin key.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_http::{Caller, Failure, Json, Path, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::access as convert;
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_key, list_keys))
        .routes(routes!(update_key, revoke_key))
}

/// Makes a key. Its secret is in this answer and never again.
#[utoipa::path(post, path = "/v1/keys", tag = "keys",
    request_body = wire::CreateKey,
    responses((status = 201, body = wire::CreatedKey)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn create_key(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Json(request): Json<wire::CreateKey>,
) -> Result<Response, Failure> {
    let request = convert::create_key(request)?;
    let created = api.engine.create_key(&ctx, request).await?;
    let secret = [(CACHE_CONTROL, "no-store")];
    Ok((
        StatusCode::CREATED,
        secret,
        Json(convert::created_key(created)),
    )
        .into_response())
}

/// Lists every key of the org, newest first.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(wire::ListKeys),
    responses((status = 200, body = wire::Page<wire::Key>)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn list_keys(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListKeys>,
) -> Result<Json<wire::Page<wire::Key>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_keys(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::key)))
}

/// Changes what the key's sandboxes may hold, for those it makes from now on.
#[utoipa::path(patch, path = "/v1/keys/{key_id}", tag = "keys",
    params(("key_id" = String, Path)), request_body = wire::UpdateKey,
    responses((status = 200, body = wire::Key)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn update_key(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::UpdateKey>,
) -> Result<Json<wire::Key>, Failure> {
    let change = convert::quota_change(request.quota)?;
    let id = ids::key(&id)?;
    let key = api.engine.change_key_quota(&ctx, &id, change).await?;
    Ok(Json(convert::key(key)))
}

/// Ends a key at once and for good. Repeating this changes nothing.
#[utoipa::path(delete, path = "/v1/keys/{key_id}", tag = "keys",
    params(("key_id" = String, Path)),
    responses((status = 200, body = wire::Key)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn revoke_key(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Key>, Failure> {
    let key = api.engine.revoke_key(&ctx, &ids::key(&id)?).await?;
    Ok(Json(convert::key(key)))
}
