//! Handlers of tunnels: a port of a devbox that anybody reaches who knows the address.

use axum::extract::State;
use pinfold_engine::{CreatePreview, Engine};
use pinfold_http::{Caller, Json, Path, PreviewUrls};
use pinfold_model::{PreviewAccess, preview};

use super::errors::Refused;
use super::{ids, wire};

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    urls: PreviewUrls,
    Path(devbox): Path<String>,
    Json(request): Json<wire::CreateTunnel>,
) -> Result<Json<wire::Tunnel>, Refused> {
    let id = ids::devbox(&devbox)?;
    let request = CreatePreview {
        port: preview::port(request.port)?,
        access: PreviewAccess::Public,
        expires_in: None,
    };
    let made = engine.create_preview(&ctx, &id, request).await?.preview;
    Ok(Json(wire::Tunnel {
        devbox_id: devbox,
        port: made.port,
        url: urls.of(&made.slug),
    }))
}

pub(super) async fn remove(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    Json(request): Json<wire::RemoveTunnel>,
) -> Result<Json<wire::Empty>, Refused> {
    let id = ids::devbox(&devbox)?;
    let Some(port) = request.port else {
        return Err(Refused::absent("a tunnel for all ports"));
    };
    engine.revoke_port(&ctx, &id, preview::port(port)?).await?;
    Ok(Json(wire::Empty {}))
}
