//! Handlers of gateway and MCP configurations, which differ in their kind alone, and of tokens.

use axum::Extension;
use axum::extract::State;
use pinfold_engine::{Cursor, Engine, GatewayToken, PutGateway};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::{Ctx, Gateway, GatewayKind};

use super::errors::Refused;
use super::from_wire::gateway as from_wire;
use super::poll::{Pages, RequestKey};
use super::{ids, to_wire, wire};

type Answer = Result<Json<wire::Config>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Extension(kind): Extension<GatewayKind>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::PutConfig>,
) -> Answer {
    let request = from_wire::create(kind, request)?;
    let made = engine.create_gateway(&ctx, request, key.as_deref()).await?;
    answer(made.value)
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Extension(kind): Extension<GatewayKind>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let id = ids::gateway(kind, &id)?;
    answer(engine.get_gateway(&ctx, kind, &id).await?)
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Extension(kind): Extension<GatewayKind>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListConfigs>,
) -> Result<Json<wire::Configs>, Refused> {
    let after = match &query.starting_after {
        Some(id) => {
            let id = ids::gateway(kind, id)?;
            let last = engine.get_gateway(&ctx, kind, &id).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let wanted = |gateway: &Gateway| {
        let (id, name) = (ids::of_gateway(kind, &gateway.id), gateway.name.as_str());
        let is = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| {
            wanted.as_deref().is_none_or(fits)
        };
        is(&query.id, &|wanted| wanted == id)
            && is(&query.name, &|wanted| name.contains(wanted))
            && is(&query.search, &|wanted| {
                wanted == id || name.contains(wanted)
            })
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_gateways(&ctx, kind, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    let configs: Vec<_> = found.into_iter().map(to_wire::config).collect();
    let (gateway_configs, mcp_configs) = match kind {
        GatewayKind::Http => (Some(configs), None),
        GatewayKind::Mcp => (None, Some(configs)),
    };
    Ok(Json(wire::Configs {
        gateway_configs,
        mcp_configs,
        has_more,
    }))
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Extension(kind): Extension<GatewayKind>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::PutConfig>,
) -> Answer {
    let id = ids::gateway(kind, &id)?;
    let change = move |before: PutGateway| from_wire::put(request.clone(), before);
    answer(engine.change_gateway(&ctx, kind, &id, change).await?)
}

/// Answers with what it was.
pub(super) async fn delete(
    State(engine): State<Engine>,
    Extension(kind): Extension<GatewayKind>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let id = ids::gateway(kind, &id)?;
    answer(engine.delete_gateway(&ctx, kind, &id).await?)
}

pub(super) async fn create_token(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::WantedGateway>,
) -> Result<Json<wire::GatewayToken>, Refused> {
    let (kind, named) = (GatewayKind::Http, &request.gateway);
    let made = token(&engine, &ctx, &id, kind, named, &request.secret).await?;
    Ok(Json(to_wire::gateway_token(made)))
}

pub(super) async fn create_mcp_token(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::CreateMcpToken>,
) -> Result<Json<wire::McpToken>, Refused> {
    let (kind, named) = (GatewayKind::Mcp, &request.mcp_config);
    let made = token(&engine, &ctx, &id, kind, named, &request.secret).await?;
    Ok(Json(to_wire::mcp_token(made)))
}

async fn token(
    engine: &Engine,
    ctx: &Ctx,
    devbox: &str,
    kind: GatewayKind,
    named: &str,
    secret: &str,
) -> Result<GatewayToken, Refused> {
    let id = ids::devbox(devbox)?;
    let gateway = from_wire::named(kind, named);
    let made = engine.create_gateway_token(ctx, &id, kind, &gateway, secret);
    Ok(made.await?)
}

fn answer(gateway: Gateway) -> Answer {
    Ok(Json(to_wire::config(gateway)))
}
