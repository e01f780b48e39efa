//! The answer as the caller gets it.

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName,
    HeaderValue, LOCATION, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::response::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri, Version};

use crate::address::{Address, Kind};
use crate::cookie::own_cookie;
use crate::request::strip_hop_by_hop;

/// What would speak for the whole origin, or send its callers elsewhere: at a path address that
/// origin is the API's, and other previews'.
const OF_THE_ORIGIN: [&str; 8] = [
    "clear-site-data",
    "nel",
    "origin-agent-cluster",
    "public-key-pins",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "strict-transport-security",
];
/// The same at an origin of its own: the host is the preview's, the machine behind it is ours.
const OF_THE_HOST: &str = "alt-svc";

/// A page at a path address gets an opaque origin of its own, so that it can neither read what other
/// previews or the API's own pages keep in this origin nor speak to them as one of them.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-orientation-lock allow-pointer-lock \
     allow-popups allow-presentation allow-scripts",
);

/// Makes the head that the caller gets out of the application's.
pub(crate) fn rewrite(parts: &mut Parts, address: &Address) {
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    headers.remove(OF_THE_HOST);
    own_cookies(headers, address);
    if address.kind == Kind::Path {
        for name in OF_THE_ORIGIN {
            headers.remove(name);
        }
        for name in [LOCATION, CONTENT_LOCATION] {
            relocate(headers, &name, address);
        }
        headers.append(CONTENT_SECURITY_POLICY, SANDBOX);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
}

/// The same for an answer that turns the connection into a WebSocket.
pub(crate) fn rewrite_upgrade(parts: &mut Parts, address: &Address) {
    rewrite(parts, address);
    let headers = &mut parts.headers;
    headers.remove(CONTENT_SECURITY_POLICY);
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Drops a length that is not that of the body as we read it. Answers without a body tell the length
/// that another one would have had (RFC 9110 section 8.6).
pub(crate) fn settle_length(parts: &mut Parts, method: &Method, exact: Option<u64>) {
    parts.headers.remove(TRANSFER_ENCODING);
    if method == Method::HEAD || parts.status == StatusCode::NOT_MODIFIED {
        return;
    }
    let told = parts.headers.get(CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse().ok());
    if told != exact || parts.status == StatusCode::NO_CONTENT {
        parts.headers.remove(CONTENT_LENGTH);
    }
}

fn own_cookies(headers: &mut HeaderMap, address: &Address) {
    let given: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for cookie in given {
        if let Some(kept) = own_cookie(address, &cookie) {
            headers.append(SET_COOKIE, kept);
        }
    }
}

/// Applications name their own paths, or themselves; at a path address both are below the prefix.
fn relocate(headers: &mut HeaderMap, name: &HeaderName, address: &Address) {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else {
        return;
    };
    if let Some(moved) = moved(value, address)
        && let Ok(moved) = HeaderValue::from_str(&moved)
    {
        headers.insert(name, moved);
    }
}

/// `None` for what may stay: relative references, other hosts, and what has the prefix already.
fn moved(value: &str, address: &Address) -> Option<String> {
    let path = match value.strip_prefix('/') {
        Some(rest) if rest.starts_with(['/', '\\']) => return None,
        Some(_) => value.to_owned(),
        None => path_of_ourselves(value, address)?,
    };
    let after = path.strip_prefix(&*address.prefix);
    match after {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => None,
        _ => Some(format!("{}{path}", address.prefix)),
    }
}

/// The path of an absolute URL that means the application itself: by the host it was called by, or by
/// a name that only makes sense inside.
fn path_of_ourselves(value: &str, address: &Address) -> Option<String> {
    let uri: Uri = value.parse().ok()?;
    let authority = uri.authority()?;
    let called = address.authority.as_ref();
    let inside = matches!(
        authority.host(),
        "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0"
    );
    if called.map(Authority::as_str) != Some(authority.as_str()) && !inside {
        return None;
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let fragment = value.split_once('#').map_or("", |(_, fragment)| fragment);
    Some(match fragment {
        "" => target.to_owned(),
        fragment => format!("{target}#{fragment}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Response;

    fn address(kind: Kind) -> Address {
        Address {
            kind,
            slug: "s".into(),
            prefix: if kind == Kind::Path {
                "/p/s".into()
            } else {
                String::new()
            },
            rest: None,
            authority: Some("h:7070".parse().expect("a host")),
        }
    }

    fn rewritten(kind: Kind, headers: &[(&str, &str)]) -> HeaderMap {
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let mut parts = response.body(()).expect("a response").into_parts().0;
        rewrite(&mut parts, &address(kind));
        parts.headers
    }

    #[test]
    fn an_application_at_a_path_does_not_speak_for_the_origin() {
        let headers = [
            ("clear-site-data", "\"*\""),
            ("service-worker-allowed", "/"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3=\"evil:443\""),
            ("nel", "{}"),
            ("content-security-policy", "default-src 'self'"),
            ("x-own", "1"),
        ];
        let at_path = rewritten(Kind::Path, &headers);
        let policies: Vec<_> = at_path.get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies.len(), 2);
        assert!(policies[1].to_str().expect("text").starts_with("sandbox "));
        assert!(!policies[1].to_str().expect("text").contains("same-origin"));
        assert_eq!(at_path.keys_len(), 2, "{at_path:?}");
        let at_host = rewritten(Kind::Host, &headers);
        assert!(!at_host.contains_key("alt-svc"));
        assert_eq!(at_host["service-worker-allowed"], "/");
        assert_eq!(at_host[CONTENT_SECURITY_POLICY], "default-src 'self'");
    }

    #[test]
    fn redirects_stay_within_a_path_address() {
        for (given, expected) in [
            ("/login?a=1", "/p/s/login?a=1"),
            ("/", "/p/s/"),
            ("/p/s/login", "/p/s/login"),
            ("/p/s", "/p/s"),
            ("/p/sx", "/p/s/p/sx"),
            ("login", "login"),
            ("../x", "../x"),
            ("//other.example/x", "//other.example/x"),
            ("https://other.example/x", "https://other.example/x"),
            ("http://h:7070/x?y#z", "/p/s/x?y#z"),
            ("http://localhost:8000/x", "/p/s/x"),
        ] {
            let headers = rewritten(Kind::Path, &[("location", given)]);
            assert_eq!(headers[LOCATION], expected, "{given}");
            let headers = rewritten(Kind::Host, &[("location", given)]);
            assert_eq!(headers[LOCATION], given);
        }
    }

    #[test]
    fn lengths_are_true_or_absent() {
        for (method, status, exact, kept) in [
            (Method::GET, 200, Some(5), true),
            (Method::GET, 200, None, false),
            (Method::GET, 204, Some(5), false),
            (Method::HEAD, 200, Some(0), true),
            (Method::GET, 304, Some(0), true),
        ] {
            let response = Response::builder()
                .status(status)
                .header("content-length", "5");
            let mut parts = response.body(()).expect("a response").into_parts().0;
            settle_length(&mut parts, &method, exact);
            assert_eq!(
                parts.headers.contains_key(CONTENT_LENGTH),
                kept,
                "{method} {status}"
            );
        }
    }
}
