//! Routes of secrets. None answers with a value.

use axum::extract::State;
use axum::http::StatusCode;
use pinfold_http::{Caller, Failure, Json, Path, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::secret as convert;
use crate::page;
use crate::state::Api;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_secrets))
        .routes(routes!(get_secret, put_secret, delete_secret))
}

/// Lists the secrets of the caller's project, newest first, without their values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", params(wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::Secret>)))]
async fn list_secrets(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::Secret>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_secrets(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// What is known of a secret beside its value.
#[utoipa::path(get, path = "/v1/secrets/{secret}", tag = "secrets",
    params(("secret" = String, Path)),
    responses((status = 200, body = wire::Secret)))]
async fn get_secret(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<Json<wire::Secret>, Failure> {
    let secret = api.engine.get_secret(&ctx, &name).await?;
    Ok(Json(convert::to_wire(secret)))
}

/// Makes a secret, or gives it a new value, which the next request of a sandbox gets. A name is 1 to 100
/// letters, digits, `.`, `_` and `-`, with a letter or digit first.
#[utoipa::path(put, path = "/v1/secrets/{secret}", tag = "secrets",
    params(("secret" = String, Path)), request_body = wire::PutSecret,
    responses((status = 200, body = wire::Secret)))]
async fn put_secret(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Json(request): Json<wire::PutSecret>,
) -> Result<Json<wire::Secret>, Failure> {
    let value = convert::value(request)?;
    let secret = api.engine.put_secret(&ctx, &name, value).await?;
    Ok(Json(convert::to_wire(secret)))
}

/// Deletes a secret for good. Requests of sandboxes that have a credential with it are refused from now
/// on, until there is a secret of that name again.
#[utoipa::path(delete, path = "/v1/secrets/{secret}", tag = "secrets",
    params(("secret" = String, Path)),
    responses((status = 204, description = "deleted")))]
async fn delete_secret(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    api.engine.delete_secret(&ctx, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
