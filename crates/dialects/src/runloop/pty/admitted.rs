//! Who may: a token that was made together with the key in the host.

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts;
use pinfold_engine::{Engine, LinkUse, Linked};
use pinfold_http::{RateLimits, RequestTag, TUNNEL_TOKEN_HEADER, pairs};
use pinfold_model::{Code, Ctx, Error, ErrorKind, RequestId, SandboxId, TerminalsKey};

use crate::runloop::errors::Refused;

const TOKEN_PARAMETER: &str = "token";

/// A caller whose token holds.
pub(super) struct Admitted {
    pub(super) ctx: Ctx,
    pub(super) sandbox: SandboxId,
    /// The subprotocol that carried the token.
    pub(super) protocol: Option<String>,
    key: TerminalsKey,
    token: String,
}

impl Admitted {
    /// Whether the token still holds: it has not expired, nor was the key revoked that made it.
    pub(super) async fn holds(&self, engine: &Engine) -> bool {
        let request = self.ctx.request.clone();
        let proved = prove(engine, &self.key, &self.token, request).await;
        // What cannot be asked now is asked again.
        !matches!(proved, Err(error) if error.kind() == ErrorKind::Unauthenticated)
    }
}

impl FromRequestParts<Engine> for Admitted {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, engine: &Engine) -> Result<Self, Refused> {
        let tag = RequestTag::from_request_parts(parts, engine).await;
        let request = tag.map_or_else(|never| match never {}, |tag| tag.id);
        let key = parts.extensions.get::<TerminalsKey>().cloned();
        let key = key.ok_or_else(unauthenticated)?;
        let (token, protocol) = presented(parts)?.ok_or_else(unauthenticated)?;
        let (ctx, sandbox) = prove(engine, &key, &token, request).await?;
        // What the token's key may send is one measure, wherever it sends it.
        if let Some(limits) = parts.extensions.get::<RateLimits>() {
            limits.admit(&ctx.principal)?;
        }
        Ok(Self {
            ctx,
            sandbox,
            protocol,
            key,
            token,
        })
    }
}

async fn prove(
    engine: &Engine,
    key: &TerminalsKey,
    token: &str,
    request: RequestId,
) -> Result<(Ctx, SandboxId), Error> {
    let proved = engine.redeem(token, LinkUse::Terminals, request).await;
    let found = proved.map_err(|error| match error.code() {
        Code::LinkInvalid | Code::LinkExpired => unauthenticated(),
        _ => error,
    })?;
    match found.linked {
        Linked::Terminals { sandbox, key: of } if of == *key => Ok((found.ctx, sandbox)),
        _ => Err(unauthenticated()),
    }
}

/// The token, and the subprotocol where it is one: clients that cannot set headers have nothing else.
fn presented(parts: &Parts) -> Result<Option<(String, Option<String>)>, Refused> {
    let headers = &parts.headers;
    if let Some(token) = bearer(headers, TUNNEL_TOKEN_HEADER) {
        return Ok(Some((token, None)));
    }
    if let Some(token) = bearer(headers, AUTHORIZATION.as_str()) {
        return Ok(Some((token, None)));
    }
    if let Some(token) = subprotocol(headers) {
        return Ok(Some((token.clone(), Some(token))));
    }
    let pairs = pairs(&parts.uri)?;
    let token = pairs.into_iter().find(|(name, _)| name == TOKEN_PARAMETER);
    Ok(token.map(|(_, token)| (token, None)))
}

fn bearer(headers: &HeaderMap, name: &str) -> Option<String> {
    let (scheme, token) = headers.get(name)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

/// Of what is offered, what looks like a token of ours: two words and a dot.
fn subprotocol(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let token = offered.find(|protocol| protocol.contains('.'))?;
    Some(token.trim().to_owned())
}

fn unauthenticated() -> Error {
    Error::new(
        Code::Unauthenticated,
        "terminals need the token that was made with their address: send \
         `Authorization: Bearer <token>`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn token(target: &str, headers: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        presented(&parts).ok().flatten()
    }

    #[test]
    fn a_token_is_found_where_clients_put_it_and_nowhere_else() {
        let plain = |text: &str| Some((text.to_owned(), None));
        let own = (TUNNEL_TOKEN_HEADER, "Bearer a.b");
        assert_eq!(token("/", &[own]), plain("a.b"));
        let both = [("authorization", "Bearer c.d"), own];
        assert_eq!(token("/", &both), plain("a.b"));
        assert_eq!(token("/", &both[..1]), plain("c.d"));
        assert_eq!(token("/?token=e.f", &[]), plain("e.f"));
        let offered = ("sec-websocket-protocol", "pty, g.h");
        let chosen = Some(("g.h".to_owned(), Some("g.h".to_owned())));
        assert_eq!(token("/", &[offered]), chosen);
        for (name, value) in [
            ("authorization", "a.b"),
            ("authorization", "Basic a.b"),
            ("x-api-key", "a.b"),
            ("cookie", "token=a.b"),
            ("sec-websocket-protocol", "pty"),
        ] {
            assert_eq!(token("/", &[(name, value)]), None, "{name}");
        }
    }
}
