//! Routes about the server itself, and the browsable documentation.

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use pinfold_http::{Caller, Draining, Failure, Json};
use pinfold_model::{Code, Error, Level, Resource};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::access;
use crate::document::document_json;
use crate::state::{Api, MetricsAccess};

/// A page of our own, without anything from elsewhere.
const DOCS: &str = include_str!("docs.html");
/// What the page may do: run its own script, ask this server.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// What needs no key.
pub(crate) fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(openapi))
        .routes(routes!(docs))
}

/// What needs one.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_isolation))
        .routes(routes!(whoami))
}

/// In `public` or not, as the operator chose.
pub(crate) fn metrics_routes(access: MetricsAccess) -> OpenApiRouter<Api> {
    match access {
        MetricsAccess::AdminKey => OpenApiRouter::new().routes(routes!(metrics)),
        MetricsAccess::Open => OpenApiRouter::new().routes(routes!(open_metrics)),
    }
}

/// Answers 200 when the server is ready, 503 while it starts or drains.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()),
    responses((status = 200, body = wire::Health)))]
async fn healthz(
    State(api): State<Api>,
    draining: Draining,
) -> Result<Json<wire::Health>, Failure> {
    if draining.begun() || !api.engine.ready() {
        return Err(
            Error::new(Code::Unavailable, "the server is starting or shutting down").into(),
        );
    }
    Ok(Json(wire::Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        isolation: api.engine.isolation().level.as_str().to_owned(),
    }))
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "server", security(()),
    responses((status = 200, content_type = "application/json", body = Object)))]
async fn openapi() -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, document_json()).into_response()
}

/// This document for people.
#[utoipa::path(get, path = "/docs", tag = "server", security(()),
    responses((status = 200, content_type = "text/html", body = String)))]
async fn docs() -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, DOCS_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(DOCS)).into_response()
}

/// What stands between a sandbox and its host.
#[utoipa::path(get, path = "/v1/isolation", tag = "server",
    responses((status = 200, body = wire::Isolation)))]
async fn get_isolation(State(api): State<Api>, _: Caller) -> Json<wire::Isolation> {
    let isolation = api.engine.isolation();
    Json(wire::Isolation {
        level: isolation.level.as_str().to_owned(),
        enforced: isolation.enforced.into_iter().map(str::to_owned).collect(),
        weaker: isolation.weaker,
    })
}

/// Whose key this is.
#[utoipa::path(get, path = "/v1/whoami", tag = "server",
    responses((status = 200, body = wire::WhoAmI)))]
async fn whoami(State(api): State<Api>, Caller(ctx): Caller) -> Json<wire::WhoAmI> {
    Json(access::whoami(api.engine.whoami(&ctx)))
}

/// Metrics in Prometheus' text format. Needs an admin key unless the operator opened it.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn metrics(State(api): State<Api>, Caller(ctx): Caller) -> Result<Response, Failure> {
    ctx.require_admin()?;
    ctx.require(Resource::Account, Level::Read)?;
    Ok(rendered(&api))
}

/// Metrics in Prometheus' text format; the operator opened them to everybody.
#[utoipa::path(get, path = "/metrics", tag = "server", security(()),
    responses((status = 200, content_type = "text/plain", body = String)))]
async fn open_metrics(State(api): State<Api>) -> Response {
    rendered(&api)
}

fn rendered(api: &Api) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, (api.config.metrics)()).into_response()
}
