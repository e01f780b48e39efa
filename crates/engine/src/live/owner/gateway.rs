//! What calls of a sandbox's gateways become.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use pinfold_egress::{Call, Gateways, NoCall};
use pinfold_model::gateway::{Auth, HeaderValueSource};
use pinfold_model::{Gateway, GatewayKind, ProjectId, SandboxId, SecretValue};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::engine::Shared;

/// The gateways of one sandbox.
pub(super) struct Calls {
    /// Its registry has the sandbox that has this.
    pub(super) shared: Weak<Shared>,
    pub(super) project: ProjectId,
    pub(super) sandbox: SandboxId,
}

#[async_trait]
impl Gateways for Calls {
    async fn call(&self, kind: GatewayKind, token: &str) -> Result<Call, NoCall> {
        let shared = self.shared.upgrade();
        let shared = shared.ok_or_else(|| unavailable("the server is shutting down"))?;
        let claims = shared.token_key.open(&self.sandbox, token);
        let claims = claims.ok_or(NoCall::Token)?;
        let gateways = shared.store.gateways();
        let found = gateways.get(&self.project, &claims.gateway).await;
        let gateway = found.map_err(|error| {
            tracing::error!(%error, sandbox = %self.sandbox, "no gateway");
            unavailable("the gateway cannot be looked up at the moment")
        })?;
        let gateway = gateway.ok_or(NoCall::Gone)?;
        if gateway.kind() != kind {
            return Err(NoCall::Token);
        }
        let headers = self.headers(&shared, &gateway, &claims.secret).await?;
        Ok(Call {
            tools: gateway.tools(),
            endpoint: gateway.spec.endpoint,
            headers,
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        // Without its engine a sandbox has no connections for long.
        let never = || watch::Sender::default().subscribe();
        let shared = self.shared.upgrade();
        shared.map_or_else(never, |shared| shared.gateway_changes.of(&self.project))
    }
}

impl Calls {
    async fn headers(
        &self,
        shared: &Arc<Shared>,
        gateway: &Gateway,
        secret: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, NoCall> {
        let value = self.value(shared, secret).await?;
        let mut headers = vec![authorized(&gateway.spec.auth, &value, secret)?];
        for header in &gateway.spec.headers {
            headers.push(match &header.value {
                HeaderValueSource::Text(text) => pair(&header.name, text, &header.name)?,
                HeaderValueSource::Secret(of) => {
                    let value = self.value(shared, &of.name).await?;
                    if !value.is_plain_line() {
                        return Err(no_secret(&of.name, "does not fit into its header"));
                    }
                    sensitive(pair(&header.name, value.expose(), &of.name)?)
                }
            });
        }
        Ok(headers)
    }

    async fn value(&self, shared: &Arc<Shared>, name: &str) -> Result<SecretValue, NoCall> {
        let value = shared.vault.value(&self.project, name).await;
        let value = value.map_err(|error| {
            tracing::error!(%error, secret = name, "no secret of a gateway");
            unavailable("the secret of this gateway cannot be read at the moment")
        })?;
        value.ok_or_else(|| no_secret(name, "does not exist"))
    }
}

fn authorized(
    auth: &Auth,
    value: &SecretValue,
    secret: &str,
) -> Result<(HeaderName, HeaderValue), NoCall> {
    const AUTHORIZATION: &str = "authorization";
    if !value.is_plain_line() && *auth != Auth::Basic {
        return Err(no_secret(secret, "does not fit into its header"));
    }
    let value = value.expose();
    let (name, text) = match auth {
        Auth::Bearer => (AUTHORIZATION, Zeroizing::new(format!("Bearer {value}"))),
        Auth::Basic => {
            let encoded = Zeroizing::new(STANDARD.encode(value));
            let text = Zeroizing::new(format!("Basic {}", *encoded));
            (AUTHORIZATION, text)
        }
        Auth::Header(name) => (name.as_str(), Zeroizing::new(value.to_owned())),
    };
    Ok(sensitive(pair(name, &text, secret)?))
}

fn pair(name: &str, value: &str, of: &str) -> Result<(HeaderName, HeaderValue), NoCall> {
    let name = HeaderName::try_from(name);
    match (name, HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(no_secret(of, "does not fit into its header")),
    }
}

fn sensitive((name, mut value): (HeaderName, HeaderValue)) -> (HeaderName, HeaderValue) {
    value.set_sensitive(true);
    (name, value)
}

fn no_secret(name: &str, why: &str) -> NoCall {
    NoCall::Secret(format!("the secret {name:?} of this gateway {why}"))
}

fn unavailable(why: &str) -> NoCall {
    NoCall::Unavailable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_where_its_gateway_says_and_shows_itself_in_no_text() {
        let value = SecretValue::new("user:pass".to_owned()).expect("valid");
        let header = |auth: Auth| authorized(&auth, &value, "s").expect("a header");
        let text = |auth| {
            let (name, value) = header(auth);
            assert!(value.is_sensitive() && !format!("{value:?}").contains("pass"));
            format!("{name}: {}", value.to_str().expect("text"))
        };
        assert_eq!(text(Auth::Bearer), "authorization: Bearer user:pass");
        assert_eq!(text(Auth::Basic), "authorization: Basic dXNlcjpwYXNz");
        assert_eq!(
            text(Auth::Header("X-Api-Key".into())),
            "x-api-key: user:pass"
        );
        let split = SecretValue::new("a\r\nX-Evil: pass".to_owned()).expect("a value");
        for auth in [Auth::Bearer, Auth::Header("X-Api-Key".into())] {
            let refused = authorized(&auth, &split, "s").expect_err("two headers");
            assert!(!format!("{refused:?}").contains("pass"));
        }
        authorized(&Auth::Basic, &split, "s").expect("encoded");
    }
}
