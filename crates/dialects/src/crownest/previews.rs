//! Handlers of previews. The addresses themselves are served elsewhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Engine, ListedPreviews};
use pinfold_http::{Caller, Json, Path, PreviewUrls, Query};

use super::errors::Refused;
use super::{from_wire, ids, to_wire, wire};

type Answer = Result<Json<wire::OnePreview>, Refused>;

/// A port that has an active preview answers with that one.
pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::CreatePreview>,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::create_preview(&request)?;
    let created = engine.create_preview(&ctx, &sandbox, request).await?;
    let body = Json(wire::CreatedPreview {
        preview: to_wire::preview(&ctx, created.preview, &urls),
        preview_token: created.token,
    });
    let secret = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, secret, body).into_response())
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(id): Path<String>,
) -> Answer {
    let found = engine.get_preview(&ctx, &ids::preview(&id)?).await?;
    let preview = to_wire::preview(&ctx, found, &urls);
    Ok(Json(wire::OnePreview { preview }))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListPage>,
) -> Result<Json<wire::Page<wire::Preview>>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let page = from_wire::page(query.limit, query.cursor.as_deref())?;
    let found = engine.list_previews(&ctx, &sandbox, ListedPreviews::All, &page);
    let shown = |one| to_wire::preview(&ctx, one, &urls);
    Ok(Json(to_wire::page(found.await?, shown)))
}

pub(super) async fn revoke(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(id): Path<String>,
) -> Answer {
    let revoked = engine.revoke_preview(&ctx, &ids::preview(&id)?).await?;
    let preview = to_wire::preview(&ctx, revoked, &urls);
    Ok(Json(wire::OnePreview { preview }))
}
