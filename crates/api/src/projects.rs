//! Routes of projects.

use axum::extract::State;
use axum::http::StatusCode;
use pinfold_http::{Caller, Failure, Json, Path, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::access as convert;
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_project, list_projects))
        .routes(routes!(get_project, update_project))
}

/// Makes a project. Needs an admin key.
#[utoipa::path(post, path = "/v1/projects", tag = "projects",
    request_body = wire::CreateProject,
    responses((status = 201, body = wire::Project)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn create_project(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Json(request): Json<wire::CreateProject>,
) -> Result<(StatusCode, Json<wire::Project>), Failure> {
    let quota = convert::quota_change(request.quota)?;
    let project = api
        .engine
        .create_project(&ctx, &request.name, quota)
        .await?;
    Ok((StatusCode::CREATED, Json(convert::project(project))))
}

/// Lists every project of the org for an admin, else the caller's own.
#[utoipa::path(get, path = "/v1/projects", tag = "projects", params(wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::Project>)))]
async fn list_projects(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::Project>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_projects(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::project)))
}

/// The caller's own project, or for an admin any of its org.
#[utoipa::path(get, path = "/v1/projects/{project_id}", tag = "projects",
    params(("project_id" = String, Path)),
    responses((status = 200, body = wire::Project)))]
async fn get_project(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Project>, Failure> {
    let project = api.engine.get_project(&ctx, &ids::project(&id)?).await?;
    Ok(Json(convert::project(project)))
}

/// Changes a project's quota, for sandboxes created from now on. Needs an admin key.
#[utoipa::path(patch, path = "/v1/projects/{project_id}", tag = "projects",
    params(("project_id" = String, Path)), request_body = wire::UpdateProject,
    responses((status = 200, body = wire::Project)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn update_project(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::UpdateProject>,
) -> Result<Json<wire::Project>, Failure> {
    let change = convert::quota_change(request.quota)?;
    let project = api
        .engine
        .change_quota(&ctx, &ids::project(&id)?, change)
        .await?;
    Ok(Json(convert::project(project)))
}
