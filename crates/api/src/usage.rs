//! Routes of usage and audit.

use axum::extract::State;
use pinfold_http::{Caller, Failure, Json, Query};
use pinfold_model::Time;
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::{audit, usage as convert};
use crate::page;
use crate::state::Api;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_usage))
        .routes(routes!(list_sandbox_usage))
        .routes(routes!(list_audit))
}

/// What the caller's project used over a period.
#[utoipa::path(get, path = "/v1/usage", tag = "usage", params(wire::UsageQuery),
    responses((status = 200, body = wire::Usage)))]
async fn get_usage(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::UsageQuery>,
) -> Result<Json<wire::Usage>, Failure> {
    let period = convert::period(query.from.as_deref(), query.to.as_deref(), Time::now())?;
    let totals = api
        .engine
        .project_usage(&ctx, period.from, period.to)
        .await?;
    Ok(Json(convert::totals(
        &ctx.principal.project,
        period,
        totals,
    )))
}

/// The same for each sandbox, newest sandbox first.
#[utoipa::path(get, path = "/v1/usage/sandboxes", tag = "usage", params(wire::ListSandboxUsage),
    responses((status = 200, body = wire::Page<wire::SandboxUsage>)))]
async fn list_sandbox_usage(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListSandboxUsage>,
) -> Result<Json<wire::Page<wire::SandboxUsage>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let period = convert::period(query.from.as_deref(), query.to.as_deref(), Time::now())?;
    let found = api
        .engine
        .sandbox_usage(&ctx, period.from, period.to, &request)
        .await?;
    Ok(Json(page::to_wire(found, convert::of_sandbox)))
}

/// The audit trail, newest first: of the caller's project, or of the whole org for an admin.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(wire::ListAudit),
    responses((status = 200, body = wire::Page<wire::AuditEvent>)))]
async fn list_audit(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListAudit>,
) -> Result<Json<wire::Page<wire::AuditEvent>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let filter = audit::filter(&query)?;
    let found = api.engine.list_audit(&ctx, &filter, &request).await?;
    Ok(Json(page::to_wire(found, audit::to_wire)))
}
