//! Handlers of SSH keys.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{CreateSshKey, Engine};
use pinfold_http::{Caller, Json, Path};
use pinfold_model::SshGateway;

use super::errors::Refused;
use super::{ids, wire};

/// The address is `HOST:PORT` of this server's gateway, where the vendor's is a name that its own
/// gateway is found behind.
pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Response, Refused> {
    let id = ids::devbox(&devbox)?;
    let state = engine.get_sandbox(&ctx, &id).await?.state;
    state.require_running()?;
    let made = engine
        .create_ssh_key(&ctx, &id, CreateSshKey::default())
        .await?;
    let gateway = &made.gateway;
    let body = wire::SshKey {
        id: devbox,
        ssh_private_key: made
            .private_key
            .map_or_else(String::new, |key| key.to_string()),
        ssh_user: SshGateway::user(&id).to_owned(),
        url: format!("{}:{}", gateway.host, gateway.port),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
