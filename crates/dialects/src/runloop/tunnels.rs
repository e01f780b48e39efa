//! Handlers of tunnels: addresses of one port of a devbox, or of all.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{CreatePreview, Engine, Origin};
use pinfold_http::{Caller, Json, Path, PreviewUrls};
use pinfold_model::{Code, PreviewAccess, preview};

use super::errors::Refused;
use super::poll::Again;
use super::{from_wire, ids, to_wire, wire};

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(devbox): Path<String>,
    Json(request): Json<wire::CreateTunnel>,
) -> Result<Json<wire::PortTunnel>, Refused> {
    let id = ids::devbox(&devbox)?;
    let request = CreatePreview {
        port: preview::port(request.port)?,
        access: PreviewAccess::Public,
        expires_in: None,
    };
    let made = engine.create_preview(&ctx, &id, request).await?.preview;
    Ok(Json(wire::PortTunnel {
        devbox_id: devbox,
        port: made.port,
        url: urls.of(&made.slug),
    }))
}

/// One that is there already is the answer to the SDK's own retry only.
pub(super) async fn enable(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    Again(again): Again,
    Json(request): Json<wire::EnableTunnel>,
) -> Result<Response, Refused> {
    let id = ids::devbox(&devbox)?;
    let annotations = engine.get_sandbox(&ctx, &id).await?.spec.more.annotations;
    let launch = wire::Kept::of(&annotations).launch_parameters;
    let spec = from_wire::tunnel(&request, &launch)?;
    let enabled = match engine.enable_tunnel(&ctx, &id, spec).await {
        Ok(enabled) if enabled.origin == Origin::New || again => enabled,
        Ok(_) => return Err(has_one()),
        Err(error) if error.code() == Code::AlreadyExists => return Err(has_one()),
        Err(error) => return Err(error.into()),
    };
    let body = Json(to_wire::tunnel(enabled.shown));
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}

fn has_one() -> Refused {
    Refused::bad("the devbox has a tunnel already; remove it first")
}

pub(super) async fn remove(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    Json(request): Json<wire::RemoveTunnel>,
) -> Result<Json<wire::Empty>, Refused> {
    let id = ids::devbox(&devbox)?;
    match request.port {
        Some(port) => engine.revoke_port(&ctx, &id, preview::port(port)?).await?,
        None => engine.remove_tunnel(&ctx, &id).await?,
    }
    Ok(Json(wire::Empty {}))
}

/// What leads to the terminals of a devbox: fresh each time, and kept nowhere.
pub(super) async fn create_pty(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Response, Refused> {
    let (key, link) = engine.sign_terminals(&ctx, &ids::devbox(&devbox)?).await?;
    let body = Json(wire::PtyTunnel {
        tunnel_key: key.as_str().to_owned(),
        auth_token: link.token,
    });
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}
