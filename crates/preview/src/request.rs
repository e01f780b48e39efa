//! The request as the application gets it.

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, REFERER,
    SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{Method, Uri, Version, uri};
use pinfold_http::{PREVIEW_TOKEN_HEADER, PREVIEW_TOKEN_PARAMETER, TUNNEL_TOKEN_HEADER};

use crate::address::{Address, Kind};

/// Headers of one connection, which end at each hop (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What only we may tell an application about its caller, and what makes some take a request for
/// another.
const TOLD_BY_US: [&str; 12] = [
    "forwarded",
    "proxy",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-original-url",
    "x-real-ip",
];

/// What carries nothing but credentials of the platform.
const TOKENS: [&str; 2] = [PREVIEW_TOKEN_HEADER, TUNNEL_TOKEN_HEADER];

/// What is told about the caller.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    /// Its address, where the listener knows it.
    pub(crate) ip: Option<std::net::IpAddr>,
    /// `https` or `http`, as callers reach us.
    pub(crate) scheme: &'a str,
}

/// Whether the request wants to become a WebSocket (RFC 6455 section 4.1). Other protocols are not
/// passed through: what follows such an upgrade is out of our sight.
pub(crate) fn wants_websocket(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(UPGRADE).map(HeaderValue::as_bytes);
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && connection_names(&parts.headers).any(|name| name == UPGRADE)
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// Makes the head that the application gets out of the one that came. Credentials are out already.
pub(crate) fn rewrite(parts: &mut Parts, address: &Address, caller: &Caller<'_>) {
    let websocket = wants_websocket(parts);
    let trailers = wants_trailers(&parts.headers);
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    for name in [EXPECT, HOST] {
        headers.remove(name);
    }
    strip(headers, &TOLD_BY_US);
    strip(headers, &TOKENS);
    strip_token_from_referer(headers);
    tell(headers, address, caller);
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    parts.uri = target(address);
    parts.version = Version::HTTP_11;
}

/// Takes off what belongs to one connection, also what `Connection` names. Not `Cookie`: were it
/// named there, the application would lose it for nothing.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = connection_names(headers).collect();
    for name in named
        .iter()
        .filter(|name| **name != COOKIE && **name != CONTENT_LENGTH)
    {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Also in the spelling with `_`, which many applications take for the same name.
fn strip(headers: &mut HeaderMap, names: &[&str]) {
    let ours = |name: &HeaderName| names.contains(&&*name.as_str().replace('_', "-"));
    let found: Vec<_> = headers.keys().filter(|name| ours(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn strip_token_from_referer(headers: &mut HeaderMap) {
    let token = format!("{PREVIEW_TOKEN_PARAMETER}=");
    let holds = |value: &HeaderValue| {
        let mut windows = value.as_bytes().windows(token.len());
        windows.any(|part| part == token.as_bytes())
    };
    if headers.get_all(REFERER).iter().any(holds) {
        headers.remove(REFERER);
    }
}

fn tell(headers: &mut HeaderMap, address: &Address, caller: &Caller<'_>) {
    let host = address
        .authority
        .as_ref()
        .map_or("localhost", uri::Authority::as_str);
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(HOST, host);
    put(HeaderName::from_static("x-forwarded-host"), host);
    put(HeaderName::from_static("x-forwarded-proto"), caller.scheme);
    if let Some(ip) = caller.ip {
        put(HeaderName::from_static("x-forwarded-for"), &ip.to_string());
    }
    if address.kind == Kind::Path {
        put(
            HeaderName::from_static("x-forwarded-prefix"),
            &address.prefix,
        );
    }
}

/// In origin form, without the token.
fn target(address: &Address) -> Uri {
    let Some(rest) = &address.rest else {
        return Uri::default();
    };
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(without_token(rest).0);
    Uri::from_parts(parts).unwrap_or_default()
}

/// A target without the parameters that carry tokens, and the first of those. A target that has none
/// stays as it is, to the byte.
pub(crate) fn without_token(target: &uri::PathAndQuery) -> (uri::PathAndQuery, Option<String>) {
    let Some(query) = target.query() else {
        return (target.clone(), None);
    };
    let token = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        (name == PREVIEW_TOKEN_PARAMETER).then(|| value.to_owned())
    };
    let Some(found) = query.split('&').find_map(token) else {
        return (target.clone(), None);
    };
    let left: Vec<_> = query
        .split('&')
        .filter(|pair| token(pair).is_none())
        .collect();
    let text = match left.is_empty() {
        true => target.path().to_owned(),
        false => format!("{}?{}", target.path(), left.join("&")),
    };
    let target = text.parse().expect("a part of a target is one");
    (target, Some(found))
}

/// Drops a length that is not that of the body as we read it; without one it goes in chunks.
pub(crate) fn settle_length(headers: &mut HeaderMap, exact: Option<u64>) {
    let told = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if told.is_some() && told.and_then(|text| text.parse().ok()) != exact {
        headers.remove(CONTENT_LENGTH);
    }
    headers.remove(TRANSFER_ENCODING);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn address(rest: &str) -> Address {
        Address {
            kind: Kind::Path,
            slug: "s".into(),
            prefix: "/p/s".into(),
            rest: Some(rest.parse().expect("a target")),
            authority: Some("h:7070".parse().expect("a host")),
        }
    }

    fn rewritten(headers: &[(&str, &str)], rest: &str) -> Parts {
        let mut request = Request::get("/p/s/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).expect("a request").into_parts().0;
        let caller = Caller {
            ip: Some([10, 0, 0, 9].into()),
            scheme: "https",
        };
        rewrite(&mut parts, &address(rest), &caller);
        parts
    }

    #[test]
    fn what_belongs_to_a_hop_stays_there() {
        let parts = rewritten(
            &[
                ("connection", "keep-alive, X-Secret ,cookie"),
                ("keep-alive", "5"),
                ("x-secret", "1"),
                ("proxy-authorization", "Basic x"),
                ("te", "gzip, trailers"),
                ("upgrade", "h2c"),
                ("cookie", "a=1"),
                ("x-own", "2"),
            ],
            "/x",
        );
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "cookie",
            "host",
            "te",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-proto",
            "x-own",
        ];
        assert_eq!(names, expected);
        assert_eq!(parts.headers[TE], "trailers");
    }

    #[test]
    fn callers_cannot_speak_for_us() {
        let parts = rewritten(
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x_forwarded_for", "1.2.3.4"),
                ("x-forwarded-prefix", "/evil"),
                ("forwarded", "for=1.2.3.4"),
                ("x-real-ip", "1.2.3.4"),
                ("proxy", "http://evil"),
                ("host", "evil"),
                ("x-pinfold-preview-token", "pvt_x"),
                ("x-runloop-tunnel-authorization", "Bearer pvt_x"),
                ("x_runloop_tunnel_authorization", "Bearer pvt_x"),
                ("referer", "http://h/p/s/?pinfold_token=pvt_x"),
            ],
            "/x",
        );
        assert_eq!(parts.headers["x-forwarded-for"], "10.0.0.9");
        assert_eq!(parts.headers["x-forwarded-prefix"], "/p/s");
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
        assert_eq!(parts.headers[HOST], "h:7070");
        for name in [
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "proxy",
            "referer",
        ] {
            assert!(!parts.headers.contains_key(name), "{name}");
        }
        let told = format!("{:?}", parts.headers);
        assert!(!told.contains("pvt_x"), "{told}");
    }

    #[test]
    fn targets_pass_to_the_byte_but_for_the_token() {
        for (rest, target) in [
            ("/a%2Fb/../c?x=1&&y", "/a%2Fb/../c?x=1&&y"),
            ("//evil.example/x", "//evil.example/x"),
            ("/?", "/?"),
            ("/?pinfold_token=pvt_1", "/"),
            ("/a?b=1&pinfold_token=pvt_1&c=%20", "/a?b=1&c=%20"),
            ("/a?pinfold_token=1&pinfold_token=2&c", "/a?c"),
            ("/a?xpinfold_token=1", "/a?xpinfold_token=1"),
        ] {
            assert_eq!(rewritten(&[], rest).uri.to_string(), target, "{rest}");
        }
        let target = "/a?b&pinfold_token=pvt_1&pinfold_token=2"
            .parse()
            .expect("a target");
        assert_eq!(without_token(&target).1.as_deref(), Some("pvt_1"));
    }

    #[test]
    fn only_websockets_are_upgraded() {
        let asks = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "x"),
        ];
        let parts = rewritten(&asks, "/ws");
        assert_eq!(parts.headers[UPGRADE], "websocket");
        assert_eq!(parts.headers[CONNECTION], "Upgrade");
        for upgrade in ["h2c", "websocket, h2c", "tls/1.0"] {
            let parts = rewritten(&[asks[0], ("upgrade", upgrade), asks[2]], "/ws");
            assert!(!parts.headers.contains_key(UPGRADE), "{upgrade}");
        }
    }

    #[test]
    fn a_length_that_is_not_the_body_s_goes() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        settle_length(&mut headers, Some(5));
        assert_eq!(headers[CONTENT_LENGTH], "5");
        settle_length(&mut headers, None);
        assert!(headers.is_empty());
    }
}
