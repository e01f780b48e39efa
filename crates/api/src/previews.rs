//! Routes of previews. The addresses themselves are served elsewhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::Origin;
use pinfold_http::{Caller, Failure, Json, Path, PreviewUrls, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::preview as convert;
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_preview, list_previews))
        .routes(routes!(get_preview, revoke_preview))
        .routes(routes!(create_preview_link))
}

/// Makes an address outside that reaches a port inside. A port has one active preview: asking again
/// answers with that one and status 200, without its token.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/previews", tag = "previews",
    params(("sandbox_id" = String, Path)), request_body = wire::CreatePreview,
    responses((status = 201, body = wire::CreatedPreview),
        (status = 200, body = wire::CreatedPreview, description = "the port had one already")))]
async fn create_preview(
    State(api): State<Api>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::CreatePreview>,
) -> Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = convert::from_wire(&request)?;
    let created = api.engine.create_preview(&ctx, &sandbox, request).await?;
    let status = match created.origin {
        Origin::New => StatusCode::CREATED,
        Origin::Replay => StatusCode::OK,
    };
    let body = Json(convert::created(created, &urls, api.engine.now()));
    let secret = [(CACHE_CONTROL, "no-store")];
    Ok((status, secret, body).into_response())
}

/// Lists the previews of a sandbox, newest first, also when it has ended.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/previews", tag = "previews",
    params(("sandbox_id" = String, Path), wire::ListPreviews),
    responses((status = 200, body = wire::Page<wire::Preview>)))]
async fn list_previews(
    State(api): State<Api>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListPreviews>,
) -> Result<Json<wire::Page<wire::Preview>>, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let which = convert::listed(&query);
    let found = api
        .engine
        .list_previews(&ctx, &sandbox, which, &request)
        .await?;
    let now = api.engine.now();
    Ok(Json(page::to_wire(found, |preview| {
        convert::to_wire(preview, &urls, now)
    })))
}

/// One preview.
#[utoipa::path(get, path = "/v1/previews/{preview_id}", tag = "previews",
    params(("preview_id" = String, Path)),
    responses((status = 200, body = wire::Preview)))]
async fn get_preview(
    State(api): State<Api>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(id): Path<String>,
) -> Result<Json<wire::Preview>, Failure> {
    let preview = api.engine.get_preview(&ctx, &ids::preview(&id)?).await?;
    let now = api.engine.now();
    Ok(Json(convert::to_wire(preview, &urls, now)))
}

/// Ends a preview at once and for good, open connections too. Repeating this changes nothing.
#[utoipa::path(delete, path = "/v1/previews/{preview_id}", tag = "previews",
    params(("preview_id" = String, Path)),
    responses((status = 200, body = wire::Preview)))]
async fn revoke_preview(
    State(api): State<Api>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(id): Path<String>,
) -> Result<Json<wire::Preview>, Failure> {
    let preview = api.engine.revoke_preview(&ctx, &ids::preview(&id)?).await?;
    let now = api.engine.now();
    Ok(Json(convert::to_wire(preview, &urls, now)))
}

/// Makes a link that opens an active preview in a browser, once. The session it begins lasts 12 hours
/// at most and ends with the preview or with the key that made the link.
#[utoipa::path(post, path = "/v1/previews/{preview_id}/links", tag = "previews",
    params(("preview_id" = String, Path)), request_body = wire::CreatePreviewLink,
    responses((status = 201, body = wire::PreviewLink)))]
async fn create_preview_link(
    State(api): State<Api>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(id): Path<String>,
    Json(request): Json<wire::CreatePreviewLink>,
) -> Result<Response, Failure> {
    let life = request.expires_in_ms.map(std::time::Duration::from_millis);
    let link = api
        .engine
        .create_preview_link(&ctx, &ids::preview(&id)?, life)
        .await?;
    let secret = [(CACHE_CONTROL, "no-store")];
    let body = Json(convert::link(&link, &urls));
    Ok((StatusCode::CREATED, secret, body).into_response())
}
