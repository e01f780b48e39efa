//! Calls of gateways: the token goes, the secret comes, and the call goes on to where the gateway leads.
//!
//! What is behind a gateway is the project's choice, not the sandbox's: the sandbox's rules say only whether
//! it may call gateways. The endpoint is resolved with each connection and never one of this machine, its
//! link or a private network. Redirects are handed on and not followed. A call ends where the gateway or the
//! secret that it was made with is changed meanwhile.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use pinfold_model::network::{HostName, Refusal};
use pinfold_model::{GatewayKind, NetworkPolicy};
use serde_json::json;

use super::headers::strip_named;
use super::standing::Standing;
use super::{Body, Conversation, Onward, mcp, whole};
use crate::gateways::{Call, NoCall, PORT, TOKEN};
use crate::refusal::NoWay;
use crate::tally::add;
use crate::tunnel::Counted;

/// Why a call got no answer from where it should have gone.
#[derive(Debug)]
pub(super) enum Denied {
    Call(NoCall),
    /// Its path is not below the endpoint's.
    Path,
    /// Of MCP: no such place, no such method, no such form, too much to look through.
    NoPlace,
    Method,
    Form(&'static str),
    TooLarge(usize),
    /// A message took too long to come, or to be its turn.
    Slow,
    /// As many streams as one sandbox may have.
    Busy,
    /// It was changed or deleted before there was an answer.
    Revoked,
    Upstream(NoWay),
}

/// Answers a request that was sent to a name of gateways.
pub(super) async fn answer(
    conversation: &Conversation,
    host: &HostName,
    request: Request<Incoming>,
) -> Result<Response<Body>, NoWay> {
    let inner = &conversation.inner;
    let Some((kind, ..)) = inner.gateways_at(host) else {
        return Err(NoWay::refused(host, Refusal::NotAllowed));
    };
    if conversation.port != PORT || conversation.secured.is_some() {
        return Err(NoWay::refused(host, Refusal::NotAllowed));
    }
    add(&inner.tally.gateway_calls, 1);
    let answered = match kind {
        GatewayKind::Http => call_http(conversation, host, request).await,
        GatewayKind::Mcp => mcp::call(conversation, host, request).await,
    };
    let outcome = match &answered {
        Ok(_) => "passed",
        Err(_) => "refused",
    };
    metrics::counter!("pinfold_gateway_calls_total", "kind" => kind.as_str(), "outcome" => outcome)
        .increment(1);
    Ok(answered.unwrap_or_else(|denied| {
        add(&inner.tally.gateway_calls_refused, 1);
        if matches!(denied, Denied::Call(NoCall::Token)) {
            inner.tally.refuse(host, Some(PORT), Refusal::NotAllowed);
        }
        denied.response()
    }))
}

async fn call_http(
    conversation: &Conversation,
    host: &HostName,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Denied> {
    let (call, standing) = admitted(conversation, host, request.headers_mut()).await?;
    let (path, query) = (request.uri().path(), request.uri().query());
    let target = call.endpoint.join(path, query).map_err(|_| Denied::Path)?;
    let to = direct(&call, &target, &mut request)?;
    let passed = async {
        let passed = conversation.pass_on(to, request, Some(&standing)).await;
        passed.map_err(Denied::Upstream)
    };
    standing.hold(passed).await
}

/// What the call of that token becomes, and for how long. The token is taken out of the headers.
pub(super) async fn admitted(
    conversation: &Conversation,
    host: &HostName,
    headers: &mut HeaderMap,
) -> Result<(Call, Arc<Standing>), Denied> {
    let no = Denied::Call(NoCall::Token);
    let inner = &conversation.inner;
    let Some((kind, gateways, _)) = inner.gateways_at(host) else {
        return Err(no);
    };
    let token = take_token(headers).ok_or(no)?;
    let changes = gateways.changes();
    let call = gateways.call(kind, &token).await.map_err(Denied::Call)?;
    let standing = Standing::watch(inner, host, token, call.clone(), changes);
    Ok((call, standing))
}

/// Directs a request to the endpoint, with all that the gateway puts into it.
pub(super) fn direct<B>(
    call: &Call,
    target: &str,
    request: &mut Request<B>,
) -> Result<Onward, Denied> {
    let uri: Uri = target.parse().map_err(|_| Denied::Path)?;
    let authority = call.endpoint.authority();
    let authority = HeaderValue::try_from(authority).map_err(|_| Denied::Path)?;
    *request.uri_mut() = uri;
    // A header that its `Connection` names would be taken out again behind us.
    let headers = request.headers_mut();
    strip_named(headers);
    headers.insert(HOST, authority);
    for (name, value) in &call.headers {
        headers.insert(name, value.clone());
    }
    Ok(Onward::Gateway(
        call.endpoint.host().clone(),
        call.endpoint.port(),
    ))
}

pub(super) async fn dial(
    conversation: &Conversation,
    host: &HostName,
    port: u16,
) -> Result<SendRequest<Body>, NoWay> {
    let inner = &conversation.inner;
    let Some(added) = &inner.added else {
        return Err(NoWay::refused(host, Refusal::NotAllowed));
    };
    // Allows no address by itself, so none of a private network.
    let nobody = NetworkPolicy::default();
    let stream = inner.outside.dial_name(host, port, &nobody).await?;
    add(&inner.tally.connections, 1);
    let stream = Counted::new(stream, inner);
    conversation
        .greet_securely(&added.authority, host, stream)
        .await
}

/// The one token of the request, out of whatever header programs put an API key into: alone, as a
/// bearer's, or as a user or password. Every header that has it goes.
fn take_token(headers: &mut HeaderMap) -> Option<String> {
    let mut found: Option<String> = None;
    let mut holders: Vec<HeaderName> = Vec::new();
    for (name, value) in headers.iter() {
        let Some(token) = value.to_str().ok().and_then(|text| token_in(name, text)) else {
            continue;
        };
        if found.as_ref().is_some_and(|other| *other != token) {
            return None;
        }
        found = Some(token);
        holders.push(name.clone());
    }
    let token = found?;
    let has_it = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes
            .windows(token.len())
            .any(|part| part == token.as_bytes())
    };
    holders.extend(
        headers
            .iter()
            .filter(|(_, value)| has_it(value))
            .map(|(name, _)| name.clone()),
    );
    for name in holders {
        headers.remove(name);
    }
    Some(token)
}

fn token_in(name: &HeaderName, text: &str) -> Option<String> {
    let text = text.trim();
    if let Some((scheme, rest)) = text.split_once(' ') {
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return rest.starts_with(TOKEN).then(|| rest.to_owned());
        }
        if *name == AUTHORIZATION && scheme.eq_ignore_ascii_case("basic") {
            let plain = STANDARD
                .decode(rest)
                .or_else(|_| STANDARD_NO_PAD.decode(rest));
            let plain = String::from_utf8(plain.ok()?).ok()?;
            let (user, password) = plain.split_once(':')?;
            let mut both = [user, password].into_iter();
            return both.find(|part| part.starts_with(TOKEN)).map(str::to_owned);
        }
        return None;
    }
    text.starts_with(TOKEN).then(|| text.to_owned())
}

impl Denied {
    fn status(&self) -> StatusCode {
        match self {
            Self::Call(NoCall::Token) => StatusCode::UNAUTHORIZED,
            Self::Call(NoCall::Gone | NoCall::Secret(_)) | Self::Revoked => StatusCode::FORBIDDEN,
            Self::Call(NoCall::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Path | Self::Form(_) => StatusCode::BAD_REQUEST,
            Self::NoPlace => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Call(NoCall::Token) => "gateway_token_invalid",
            Self::Call(NoCall::Gone) => "gateway_gone",
            Self::Call(NoCall::Secret(_)) => "gateway_secret",
            Self::Call(NoCall::Unavailable(_)) => "gateway_unavailable",
            Self::Path => "gateway_path",
            Self::NoPlace | Self::Method | Self::Form(_) => "gateway_request",
            Self::TooLarge(_) => "gateway_too_large",
            Self::Slow => "gateway_slow",
            Self::Busy => "gateway_busy",
            Self::Revoked => "gateway_changed",
            Self::Upstream(_) => "gateway_upstream",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Call(no_call) => no_call.to_string(),
            Self::Path => "a path of dots or of strange characters could lead elsewhere".to_owned(),
            Self::NoPlace => "MCP gateways are at /mcp".to_owned(),
            Self::Method => "an MCP gateway takes POST, GET and DELETE".to_owned(),
            Self::Form(words) => (*words).to_owned(),
            Self::TooLarge(max) => format!("more than {max} bytes to look through"),
            Self::Slow => "the message did not come to its end in time".to_owned(),
            Self::Busy => "the sandbox has too many streams of MCP open".to_owned(),
            Self::Revoked => {
                "the gateway or its secret was changed or deleted during the call".to_owned()
            }
            Self::Upstream(NoWay::Refused { host, why }) => format!("{host} is not called: {why}"),
            Self::Upstream(no_way) => format!("the gateway's endpoint: {no_way}"),
        }
    }

    fn response(&self) -> Response<Body> {
        let words = json!({ "error": { "code": self.code(), "message": self.words() } });
        let mut response = Response::new(whole(words.to_string()));
        *response.status_mut() = self.status();
        let form = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, form);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| {
            let value = HeaderValue::try_from(*value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn a_token_is_found_where_programs_put_keys_and_taken_out_everywhere() {
        let basic = format!("Basic {}", STANDARD.encode("user:gws_a.b"));
        for (name, value) in [
            ("authorization", "Bearer gws_a.b"),
            ("authorization", "bearer  gws_a.b"),
            ("authorization", basic.as_str()),
            ("x-api-key", "gws_a.b"),
            ("api-key", "gws_a.b"),
        ] {
            let mut all = headers(&[(name, value), ("x-note", "see gws_a.b"), ("accept", "*/*")]);
            assert_eq!(
                take_token(&mut all).as_deref(),
                Some("gws_a.b"),
                "{name} {value}"
            );
            assert_eq!(all, headers(&[("accept", "*/*")]), "{name} {value}");
        }
    }

    #[test]
    fn no_token_or_two_are_none() {
        for all in [
            vec![],
            vec![("authorization", "Bearer other")],
            vec![("authorization", "Digest gws_a")],
            vec![("authorization", "Basic !!!")],
            vec![("authorization", "Bearer gws_a"), ("x-api-key", "gws_b")],
        ] {
            assert_eq!(take_token(&mut headers(&all)), None, "{all:?}");
        }
        let mut same = headers(&[("authorization", "Bearer gws_a"), ("x-api-key", "gws_a")]);
        assert_eq!(take_token(&mut same).as_deref(), Some("gws_a"));
        assert!(same.is_empty());
    }
}
