//! Routes of templates.

use axum::extract::State;
use axum::http::StatusCode;
use pinfold_engine::Share;
use pinfold_http::{Caller, Failure, Json, Path, Query};
use pinfold_model::TemplateVersionId;
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::template as convert;
use crate::page;
use crate::state::Api;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_templates))
        .routes(routes!(get_template, put_template, remove_template))
        .routes(routes!(list_template_versions))
}

/// Lists the latest version of each template that the caller's project may use.
#[utoipa::path(get, path = "/v1/templates", tag = "templates", params(wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::Template>)))]
async fn list_templates(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::Template>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_templates(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// One version of a template by name or id, the latest where none is named; or by the version's own
/// id. The project's own comes before the shared one of the same name.
#[utoipa::path(get, path = "/v1/templates/{template}", tag = "templates",
    params(("template" = String, Path), wire::TemplateQuery),
    responses((status = 200, body = wire::Template)))]
async fn get_template(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Query(query): Query<wire::TemplateQuery>,
) -> Result<Json<wire::Template>, Failure> {
    let template = match name.parse::<TemplateVersionId>() {
        Ok(id) if query.version.is_none() => api.engine.get_template_version(&ctx, &id).await?,
        _ => api.engine.get_template(&ctx, &name, query.version).await?,
    };
    Ok(Json(convert::to_wire(template)))
}

/// Every version of a template by name or id, newest first. A version never changes.
#[utoipa::path(get, path = "/v1/templates/{template}/versions", tag = "templates",
    params(("template" = String, Path), wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::Template>)))]
async fn list_template_versions(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::Template>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api
        .engine
        .list_template_versions(&ctx, &name, &request)
        .await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// Makes the next version of a template. Sharing it with every project needs an admin key.
#[utoipa::path(put, path = "/v1/templates/{template}", tag = "templates",
    params(("template" = String, Path)), request_body = wire::PutTemplate,
    responses((status = 200, body = wire::Template)))]
async fn put_template(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Json(recipe): Json<wire::PutTemplate>,
) -> Result<Json<wire::Template>, Failure> {
    let share = match recipe.shared {
        Some(true) => Share::Everyone,
        Some(false) | None => Share::Project,
    };
    let spec = convert::from_wire(recipe)?;
    let template = api.engine.set_template(&ctx, &name, spec, share).await?;
    Ok(Json(convert::to_wire(template)))
}

/// Removes a template with all its versions; sandboxes made from it live on.
#[utoipa::path(delete, path = "/v1/templates/{template}", tag = "templates",
    params(("template" = String, Path)),
    responses((status = 204, description = "removed")))]
async fn remove_template(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    api.engine.remove_template(&ctx, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
