//! Gateways: names of a sandbox's own network, and what becomes of calls of them.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use pinfold_model::GatewayKind;
use pinfold_model::gateway::{Endpoint, Tools};
use pinfold_model::network::HostName;
use tokio::sync::watch;

/// What every token begins with, wherever in a request it stands.
pub(crate) const TOKEN: &str = "gws_";
/// Gateways speak plain HTTP: nobody is between a sandbox and its gate.
pub(crate) const PORT: u16 = 80;

/// Where the calls of one sandbox go.
#[async_trait]
pub trait Gateways: Send + Sync {
    /// What a call with that token becomes now. Tokens of other sandboxes are none.
    async fn call(&self, kind: GatewayKind, token: &str) -> Result<Call, NoCall>;

    /// Told when calls may become something else than they have become since this was asked for.
    fn changes(&self) -> watch::Receiver<()>;
}

/// Where a call goes, and what is put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub endpoint: Endpoint,
    /// In place of what the call has; marked as sensitive where they are.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which tools it may use, of an MCP server.
    pub tools: Option<Tools>,
}

/// Why a call is not made. Words are for who made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCall {
    /// None of this sandbox, or of another kind of gateway.
    #[error("the gateway token is missing, or is none of this sandbox's")]
    Token,
    #[error("the gateway of this token does not exist any more")]
    Gone,
    #[error("{0}")]
    Secret(String),
    #[error("{0}")]
    Unavailable(String),
}

/// The kind of gateways that have this name; `None` for the name of anything else.
pub(crate) fn kind_of(host: &HostName) -> Option<GatewayKind> {
    let mut kinds = GatewayKind::ALL.into_iter();
    kinds.find(|kind| kind.host() == host.as_str())
}
