//! Routes of keys for SSH. The gateway itself is no part of HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::Origin;
use pinfold_http::{Caller, Failure, Json, Path, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::ssh_key as convert;
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_ssh_key, list_ssh_keys))
        .routes(routes!(delete_ssh_key))
}

/// Makes a key that opens the sandbox over SSH, or takes a public key of the caller's. A public key that
/// opens the sandbox already is answered with status 200 and stays as it is.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/ssh-keys", tag = "ssh",
    params(("sandbox_id" = String, Path)), request_body = wire::CreateSshKey,
    responses((status = 201, body = wire::CreatedSshKey),
        (status = 200, body = wire::CreatedSshKey, description = "the sandbox had it already")))]
async fn create_ssh_key(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::CreateSshKey>,
) -> Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = convert::from_wire(request);
    let created = api.engine.create_ssh_key(&ctx, &sandbox, request).await?;
    let status = match created.origin {
        Origin::New => StatusCode::CREATED,
        Origin::Replay => StatusCode::OK,
    };
    let secret = [(CACHE_CONTROL, "no-store")];
    Ok((status, secret, Json(convert::created(created))).into_response())
}

/// Lists the keys that open the sandbox over SSH, newest first; none of a sandbox that has ended.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/ssh-keys", tag = "ssh",
    params(("sandbox_id" = String, Path), wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::SshKey>)))]
async fn list_ssh_keys(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::SshKey>>, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_ssh_keys(&ctx, &sandbox, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// Deletes a key at once and for good, and ends the connections of who came in with it.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox_id}/ssh-keys/{ssh_key_id}", tag = "ssh",
    params(("sandbox_id" = String, Path), ("ssh_key_id" = String, Path)),
    responses((status = 204, description = "deleted")))]
async fn delete_ssh_key(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path((sandbox, key)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let (sandbox, key) = (ids::sandbox(&sandbox)?, ids::ssh_key(&key)?);
    api.engine.delete_ssh_key(&ctx, &sandbox, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
