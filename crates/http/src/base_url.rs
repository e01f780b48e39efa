//! Where callers reach this server: what the operator says, else the host that the request names.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery, Scheme};

use crate::addresses::Addresses;

/// An absolute URL without a slash at its end, to which paths are appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or a path that begins with a slash and does not end with one.
    path: String,
}

/// The text is no base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST[:PORT] or https://HOST[:PORT], with a path where one leads here")]
pub struct InvalidBaseUrl;

impl BaseUrl {
    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme.as_str()
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Lower case, without port.
    #[must_use]
    pub fn host(&self) -> String {
        self.authority.host().to_ascii_lowercase()
    }

    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.authority.port_u16()
    }

    /// What stands before the paths of this server: empty, or `/a/b`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// As the request names it: plain HTTP, since TLS ends before us.
    fn of_request(parts: &Parts) -> Option<Self> {
        Some(Self {
            scheme: Scheme::HTTP,
            authority: authority(parts)?,
            path: String::new(),
        })
    }
}

/// The host that a request is for: of an absolute target (RFC 9112 section 3.2.2), else of `Host`.
/// `None` where there is none, several, or one that is none.
#[must_use]
pub fn authority(parts: &Parts) -> Option<Authority> {
    let authority = match parts.uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = parts.headers.get_all(HOST).iter();
            let (Some(host), None) = (hosts.next(), hosts.next()) else {
                return None;
            };
            Authority::try_from(host.as_bytes()).ok()?
        }
    };
    (!authority.as_str().contains('@')).then_some(authority)
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidBaseUrl)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(InvalidBaseUrl);
        };
        let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let path = parts
            .path_and_query
            .as_ref()
            .map_or("/", PathAndQuery::as_str);
        let named = !authority.host().is_empty() && !authority.as_str().contains('@');
        if !known || !named || path.contains(['?', '#']) {
            return Err(InvalidBaseUrl);
        }
        Ok(Self {
            scheme,
            authority,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let told = parts.extensions.get::<Arc<Addresses>>();
        let told = told.and_then(|addresses| addresses.public_url.clone());
        Ok(told
            .or_else(|| Self::of_request(parts))
            // HTTP/1.0 without a host: nobody can follow a URL made from that anyway.
            .unwrap_or_else(|| Self {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("localhost"),
                path: String::new(),
            }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn base_urls_are_absolute_and_carry_nothing_else() {
        let url: BaseUrl = "https://Example.org:8443/pinfold/".parse().expect("valid");
        assert_eq!(url.to_string(), "https://Example.org:8443/pinfold");
        assert_eq!(
            (url.host().as_str(), url.port()),
            ("example.org", Some(8443))
        );
        assert_eq!(url.path(), "/pinfold");
        for text in [
            "",
            "example.org",
            "/x",
            "ftp://x",
            "http://",
            "http://a@b",
            "http://a?b",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_operator_says_outranks_the_request() {
        let mut parts = parts("/x", &["evil.example"]);
        let Ok(url) = BaseUrl::from_request_parts(&mut parts, &()).await;
        assert_eq!(url.to_string(), "http://evil.example");
        parts.extensions.insert(Arc::new(Addresses {
            public_url: Some("https://good.example".parse().expect("valid")),
            ..Addresses::default()
        }));
        let Ok(url) = BaseUrl::from_request_parts(&mut parts, &()).await;
        assert_eq!(url.to_string(), "https://good.example");
    }

    #[test]
    fn ambiguous_hosts_are_none() {
        let host = |target: &str, hosts: &[&str]| {
            authority(&parts(target, hosts)).map(|authority| authority.to_string())
        };
        assert_eq!(host("/", &["a:1"]).as_deref(), Some("a:1"));
        assert_eq!(host("http://b/", &["a"]).as_deref(), Some("b"));
        assert_eq!(host("/", &[]), None);
        assert_eq!(host("/", &["a", "b"]), None);
        assert_eq!(host("/", &["a b"]), None);
        assert_eq!(host("/", &["x@a"]), None);
    }
}
