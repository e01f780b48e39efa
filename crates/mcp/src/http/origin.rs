//! Which web pages may talk to the server: its own alone.
//!
//! A page elsewhere can make a browser send requests here, and by making its own name lead to this
//! machine (DNS rebinding) even read the answers. It lacks a key, but the protocol asks for a check
//! of its own: <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports>, "Security
//! Warning". Programs that are no browsers send no origin, and are not asked for one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::{Authority, Uri};
use pinfold_http::{Addresses, BaseUrl, authority};
use pinfold_model::{Code, Error};

/// # Errors
/// `permission_denied` for a request of somebody else's page.
pub(super) fn check(parts: &Parts) -> Result<(), Error> {
    let mut origins = parts.headers.get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return Ok(()),
        (Some(origin), None) => origin,
        (Some(_), Some(_)) => return Err(refused()),
    };
    let addresses = parts.extensions.get::<Arc<Addresses>>();
    let public = addresses.and_then(|addresses| addresses.public_url.as_ref());
    let own = match public {
        Some(public) => is_at(origin, public),
        None => false,
    };
    if own || is_by_address(origin, authority(parts).as_ref()) {
        return Ok(());
    }
    Err(refused())
}

fn refused() -> Error {
    let text = "the page that sent this request (header Origin) is not of this server: only \
                programs and this server's own pages may use it. Where browsers reach the server by a \
                name, start it with --public-url";
    Error::new(Code::PermissionDenied, text)
}

/// Whether the origin is that of the public address.
fn is_at(origin: &HeaderValue, public: &BaseUrl) -> bool {
    let Some((scheme, authority)) = parsed(origin) else {
        return false;
    };
    let default = if public.is_https() { 443 } else { 80 };
    scheme == public.scheme()
        && authority.host().eq_ignore_ascii_case(&public.host())
        && authority.port_u16().unwrap_or(default) == public.port().unwrap_or(default)
}

/// Whether the origin is the host that the request is for, and that no name that somebody made lead
/// here.
fn is_by_address(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let (Some((_, origin)), Some(host)) = (parsed(origin), host) else {
        return false;
    };
    let bare = host.host().trim_start_matches('[').trim_end_matches(']');
    let fixed = bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok();
    fixed && origin.as_str().eq_ignore_ascii_case(host.as_str())
}

fn parsed(origin: &HeaderValue) -> Option<(String, Authority)> {
    let uri: Uri = origin.to_str().ok()?.parse().ok()?;
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn allowed(host: &str, origins: &[&str], public: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/mcp").header("host", host);
        for origin in origins {
            request = request.header(ORIGIN, *origin);
        }
        if let Some(public) = public {
            request = request.extension(Arc::new(Addresses {
                public_url: Some(public.parse().expect("a URL")),
                ..Addresses::default()
            }));
        }
        check(&request.body(()).expect("a request").into_parts().0).is_ok()
    }

    #[test]
    fn programs_and_own_pages_may_and_other_pages_may_not() {
        for (host, origins, public, may) in [
            ("127.0.0.1:7070", &[][..], None, true),
            ("evil.example", &[], None, true),
            ("127.0.0.1:7070", &["http://127.0.0.1:7070"], None, true),
            ("localhost:7070", &["http://localhost:7070"], None, true),
            ("[::1]:7070", &["http://[::1]:7070"], None, true),
            ("127.0.0.1:7070", &["http://127.0.0.1:8080"], None, false),
            ("127.0.0.1:7070", &["http://evil.example"], None, false),
            ("127.0.0.1:7070", &["null"], None, false),
            ("127.0.0.1:7070", &[""], None, false),
            // Rebinding: the page's name leads to us, so it is the host as well.
            (
                "evil.example:7070",
                &["http://evil.example:7070"],
                None,
                false,
            ),
            ("a.org", &["https://a.org"], Some("https://a.org"), true),
            ("10.0.0.1", &["https://a.org"], Some("https://a.org"), true),
            ("a.org", &["http://a.org"], Some("https://a.org"), false),
            (
                "a.org",
                &["https://a.org:444"],
                Some("https://a.org"),
                false,
            ),
            ("b.org", &["https://b.org"], Some("https://a.org"), false),
            (
                "localhost",
                &["http://localhost", "http://localhost"],
                None,
                false,
            ),
        ] {
            assert_eq!(
                allowed(host, origins, public),
                may,
                "{host} {origins:?} {public:?}"
            );
        }
    }
}
