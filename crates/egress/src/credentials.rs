//! What is added to requests on the way out, and never exists inside.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use pinfold_model::network::HostName;

/// Which destinations get which headers.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Whether requests there get any. Connections to such a host are opened by us.
    fn are_for(&self, host: &HostName, port: u16) -> bool;

    /// Those that a request there gets now.
    async fn headers(
        &self,
        host: &HostName,
        port: u16,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, NoCredential>;
}

/// A request that should have had one is not made. In words for who made it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoCredential(pub String);
