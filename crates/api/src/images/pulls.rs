//! Routes of pulls: begun by one request, followed by any number of others.

use std::time::Duration;

use axum::extract::State;
use pinfold_http::{Caller, Draining, Failure, Json, Path, Query};
use pinfold_model::Error;
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::image as convert;
use crate::ids;
use crate::state::Api;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(start_pull))
        .routes(routes!(get_pull))
}

/// Begins to pull an image from a registry into the caller's project and answers at once. Repeating
/// the request while the pull is under way answers with the same pull; the image that is there
/// already is found again if the registry has no newer one. The pull goes on without its caller.
#[utoipa::path(post, path = "/v1/image-pulls", tag = "images",
    request_body = wire::PullImage,
    responses((status = 200, body = wire::ImagePull)))]
async fn start_pull(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Json(request): Json<wire::PullImage>,
) -> Result<Json<wire::ImagePull>, Failure> {
    let pull = convert::pull_from_wire(request)?;
    let started = api.engine.start_pull(&ctx, pull).await?;
    Ok(Json(convert::pull_to_wire(started)))
}

/// How far a pull is, or how it ended; with `timeout_ms` it waits that long for the end. Pulls that
/// ended are remembered for five minutes.
#[utoipa::path(get, path = "/v1/image-pulls/{pull_id}", tag = "images",
    params(("pull_id" = String, Path), wire::PullQuery),
    responses((status = 200, body = wire::ImagePull)))]
async fn get_pull(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::PullQuery>,
    draining: Draining,
) -> Result<Json<wire::ImagePull>, Failure> {
    let id = ids::pull(&id)?;
    let wanted = query.timeout_ms.unwrap_or(0);
    if wanted > wire::bound::WAIT_MAX_MS {
        return Err(Error::invalid("timeout_ms", "timeout_ms is at most 60000; ask again").into());
    }
    let patience = Duration::from_millis(wanted);
    let waited = tokio::select! {
        pull = api.engine.get_pull(&ctx, &id, patience) => pull?,
        () = draining.wait_owned() => api.engine.get_pull(&ctx, &id, Duration::ZERO).await?,
    };
    Ok(Json(convert::pull_to_wire(waited)))
}
