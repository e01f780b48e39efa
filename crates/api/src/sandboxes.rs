//! Routes of sandboxes.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Accepted, Origin};
use pinfold_http::{Caller, Failure, IdempotencyKey, Json, Path, pairs, parse_pairs};
use pinfold_model::{Error, Sandbox};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::{image, sandbox as convert, usage};
use crate::state::Api;
use crate::{ids, page};

/// Prefix of parameters about metadata.
const METADATA: &str = "metadata.";

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_sandbox, list_sandboxes))
        .routes(routes!(get_sandbox, destroy_sandbox))
        .routes(routes!(suspend_sandbox))
        .routes(routes!(resume_sandbox))
        .routes(routes!(stop_sandbox))
        .routes(routes!(start_sandbox))
        .routes(routes!(extend_sandbox))
        .routes(routes!(get_sandbox_network, put_sandbox_network))
        .routes(routes!(snapshot_sandbox))
        .routes(routes!(get_sandbox_usage))
}

type Answer = Result<Json<wire::Sandbox>, Failure>;

fn answer(sandbox: Sandbox) -> Answer {
    Ok(Json(convert::to_wire(sandbox)))
}

/// 201 for what was made now, 200 with a header for what an earlier request made.
pub(crate) fn accepted<T, W: serde::Serialize>(
    accepted: Accepted<T>,
    encode: impl FnOnce(T) -> W,
) -> Response {
    let body = Json(encode(accepted.value));
    match accepted.origin {
        Origin::New => (StatusCode::CREATED, body).into_response(),
        Origin::Replay => {
            let header = [(wire::header::IDEMPOTENT_REPLAY, "true")];
            (StatusCode::OK, header, body).into_response()
        }
    }
}

/// Creates a sandbox.
#[utoipa::path(post, path = "/v1/sandboxes", tag = "sandboxes",
    params(("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::CreateSandbox,
    responses(
        (status = 201, description = "made, and running unless `wait` is false", body = wire::Sandbox),
        (status = 200, description = "made by an earlier request with the same key", body = wire::Sandbox)))]
async fn create_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateSandbox>,
) -> Result<Response, Failure> {
    let request = convert::from_wire(request)?;
    let made = api
        .engine
        .create_sandbox(&ctx, request, key.as_deref())
        .await?;
    Ok(accepted(made, convert::to_wire))
}

/// Lists sandboxes, newest first. Further parameters `metadata.KEY=VALUE` keep those whose metadata
/// has exactly that value.
#[utoipa::path(get, path = "/v1/sandboxes", tag = "sandboxes", params(wire::ListSandboxes),
    responses((status = 200, body = wire::Page<wire::Sandbox>)))]
async fn list_sandboxes(
    State(api): State<Api>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Result<Json<wire::Page<wire::Sandbox>>, Failure> {
    let query = list_query(&uri)?;
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let filter = convert::filter(&query)?;
    let found = api.engine.list_sandboxes(&ctx, &filter, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

fn list_query(uri: &Uri) -> Result<wire::ListSandboxes, Failure> {
    let (metadata, rest) = take_metadata(pairs(uri)?)?;
    let query: wire::ListSandboxes = parse_pairs(rest)?;
    Ok(wire::ListSandboxes { metadata, ..query })
}

type Pairs = Vec<(String, String)>;

/// The parameters `metadata.KEY=VALUE`, and the others.
pub(crate) fn take_metadata(pairs: Pairs) -> Result<(BTreeMap<String, String>, Pairs), Failure> {
    let (metadata, rest): (Pairs, Pairs) = pairs
        .into_iter()
        .partition(|(name, _)| name.starts_with(METADATA));
    let mut taken = BTreeMap::new();
    for (name, value) in metadata {
        let key = name[METADATA.len()..].to_owned();
        if taken.insert(key, value).is_some() {
            return Err(Error::invalid(&name, format!("{name} is given twice")).into());
        }
    }
    Ok((taken, rest))
}

/// One sandbox, also after its end.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn get_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.get_sandbox(&ctx, &ids::sandbox(&id)?).await?)
}

/// Ends a sandbox and removes everything of it. Repeating this changes nothing.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox_id}", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn destroy_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(
        api.engine
            .destroy_sandbox(&ctx, &ids::sandbox(&id)?)
            .await?,
    )
}

/// Freezes a sandbox: memory and processes kept, no CPU.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/suspend", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn suspend_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(
        api.engine
            .suspend_sandbox(&ctx, &ids::sandbox(&id)?)
            .await?,
    )
}

/// Thaws a suspended sandbox.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/resume", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn resume_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.resume_sandbox(&ctx, &ids::sandbox(&id)?).await?)
}

/// Ends all processes and keeps the disk.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/stop", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn stop_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.stop_sandbox(&ctx, &ids::sandbox(&id)?).await?)
}

/// Boots a stopped sandbox on its own disk.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/start", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Sandbox)))]
async fn start_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.start_sandbox(&ctx, &ids::sandbox(&id)?).await?)
}

/// Sets the absolute lifetime to `ttl_ms` from now.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/extend", tag = "sandboxes",
    params(("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::ExtendSandbox,
    responses((status = 200, body = wire::Sandbox)))]
async fn extend_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::ExtendSandbox>,
) -> Answer {
    let ttl = Duration::from_millis(request.ttl_ms);
    answer(
        api.engine
            .extend_sandbox(&ctx, &ids::sandbox(&id)?, ttl, key.as_deref())
            .await?,
    )
}

/// What a sandbox may reach, and what became of its tries.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/network", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::SandboxNetwork)))]
async fn get_sandbox_network(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::SandboxNetwork>, Failure> {
    let network = api
        .engine
        .sandbox_network(&ctx, &ids::sandbox(&id)?)
        .await?;
    Ok(Json(convert::network_to_wire(network)))
}

/// Changes what a sandbox may reach. The change holds when this answers: connections that are not
/// allowed any more are cut. Changing the mode takes a sandbox that runs, and rewrites its
/// /etc/resolv.conf; the rules may be changed also while it is suspended or stopped.
#[utoipa::path(put, path = "/v1/sandboxes/{sandbox_id}/network", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    request_body = wire::PutSandboxNetwork,
    responses((status = 200, body = wire::SandboxNetwork)))]
async fn put_sandbox_network(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::PutSandboxNetwork>,
) -> Result<Json<wire::SandboxNetwork>, Failure> {
    let mode = convert::from_network(request.mode)?;
    let policy = convert::from_policy(request.policy.unwrap_or_default())?;
    let id = ids::sandbox(&id)?;
    let network = api
        .engine
        .set_sandbox_network(&ctx, &id, mode, policy)
        .await?;
    Ok(Json(convert::network_to_wire(network)))
}

/// Keeps what a sandbox has on its disk as an image, which `image` of a create can name. Its processes
/// stand still for a moment; it may also be suspended or stopped.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/snapshot", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    request_body = wire::TakeSnapshot,
    responses((status = 201, body = wire::Image)))]
async fn snapshot_sandbox(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::TakeSnapshot>,
) -> Result<(StatusCode, Json<wire::Image>), Failure> {
    let request = image::snapshot_from_wire(request)?;
    let id = ids::sandbox(&id)?;
    let taken = api.engine.snapshot_sandbox(&ctx, &id, request).await?;
    Ok((StatusCode::CREATED, Json(image::to_wire(taken))))
}

/// What a sandbox uses at this moment, all zero when it does not run, and has used since it was made.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/usage", tag = "sandboxes",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::Gauge)))]
async fn get_sandbox_usage(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Gauge>, Failure> {
    let used = api.engine.sandbox_used(&ctx, &ids::sandbox(&id)?).await?;
    Ok(Json(usage::used(used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_filters_are_taken_out_of_the_query() {
        let uri = "/x?metadata.team=a%20b&limit=3&metadata.x.y="
            .parse()
            .expect("a URI");
        let query = list_query(&uri).expect("valid");
        assert_eq!(query.limit, Some(3));
        assert_eq!(query.metadata["team"], "a b");
        assert_eq!(query.metadata["x.y"], "");
        let twice = "/x?metadata.a=1&metadata.a=2".parse().expect("a URI");
        assert!(list_query(&twice).is_err());
    }
}
