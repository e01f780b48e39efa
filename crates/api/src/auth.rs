//! Keys are the engine's; this only hands it the secret.

use async_trait::async_trait;
use pinfold_engine::Engine;
use pinfold_http::Authenticate;
use pinfold_model::{Ctx, Error, RequestId};

/// Authenticates by the engine's keys; dialects use it too.
#[derive(Debug, Clone)]
pub struct EngineKeys(pub Engine);

#[async_trait]
impl Authenticate for EngineKeys {
    async fn authenticate(&self, secret: &str, request: &RequestId) -> Result<Ctx, Error> {
        Ok(Ctx {
            principal: self.0.authenticate(secret).await?,
            request: request.clone(),
        })
    }
}
