//! The addresses of this server and of previews, as the operator configured them.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pinfold_model::Slug;

use crate::base_url::BaseUrl;

/// What path addresses of previews begin with.
pub const PREVIEW_PATH: &str = "/p/";
/// The parameter of the query that carries a preview's token, or the secret of a link that opens it
/// once.
pub const PREVIEW_TOKEN_PARAMETER: &str = "pinfold_token";
/// The header that carries what opens a preview where `Authorization` is the application's own.
pub const PREVIEW_TOKEN_HEADER: &str = "x-pinfold-preview-token";
/// The header that carries a tunnel's token, behind `Bearer`, as its clients send it.
pub const TUNNEL_TOKEN_HEADER: &str = "x-runloop-tunnel-authorization";

/// Settings that whoever makes URLs of this server needs. Whoever composes the server puts them into
/// each request's extensions, in an `Arc`; without, URLs are made of the request's host.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Where callers reach the API, where that is not what their requests say.
    pub public_url: Option<BaseUrl>,
    /// Previews are at `SLUG.DOMAIN`.
    pub preview_domain: Option<PreviewDomain>,
}

/// The domain whose labels are previews, with the port where that is not the API's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewDomain {
    /// Lower case, no dot at either end.
    name: String,
    port: Option<u16>,
}

/// The text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a domain such as preview.example.org, with :PORT where it differs from the API's"
)]
pub struct InvalidPreviewDomain;

impl PreviewDomain {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for PreviewDomain {
    type Err = InvalidPreviewDomain;
    fn from_str(text: &str) -> Result<Self, InvalidPreviewDomain> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| InvalidPreviewDomain)?)),
            None => (text, None),
        };
        let name = name.strip_prefix("*.").unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let label = |label: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let sound = name.len() <= 200 && name.split('.').all(label);
        if !sound || name.parse::<IpAddr>().is_ok() || port == Some(0) {
            return Err(InvalidPreviewDomain);
        }
        Ok(Self { name, port })
    }
}

impl fmt::Display for PreviewDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Makes the URLs of previews; extracted from any request.
#[derive(Debug, Clone)]
pub struct PreviewUrls {
    base: BaseUrl,
    domain: Option<PreviewDomain>,
}

impl PreviewUrls {
    /// The host-name address where there is a domain for it, else the path address. Ends in a slash.
    #[must_use]
    pub fn of(&self, slug: &Slug) -> String {
        match &self.domain {
            Some(domain) => self.by_host(slug, domain),
            None => format!("{}{PREVIEW_PATH}{slug}/", self.base),
        }
    }

    /// What a browser should open: at a path it would share the API's origin, so on this machine it
    /// gets the name below `localhost`, which browsers find without any set-up.
    #[must_use]
    pub fn for_browser(&self, slug: &Slug) -> String {
        let host = self.base.host();
        let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.domain.is_some() || !(loopback || host == "localhost" || host == "[::1]") {
            return self.of(slug);
        }
        let local = PreviewDomain {
            name: "localhost".to_owned(),
            port: None,
        };
        self.by_host(slug, &local)
    }

    fn by_host(&self, slug: &Slug, domain: &PreviewDomain) -> String {
        let port = domain.port.or_else(|| self.base.port());
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{slug}.{}{port}/", self.base.scheme(), domain.name)
    }
}

impl<S: Sync> FromRequestParts<S> for PreviewUrls {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let base = BaseUrl::from_request_parts(parts, state).await?;
        let told = parts.extensions.get::<Arc<Addresses>>();
        Ok(Self {
            base,
            domain: told.and_then(|addresses| addresses.preview_domain.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(base: &str, domain: Option<&str>) -> String {
        let urls = PreviewUrls {
            base: base.parse().expect("a URL"),
            domain: domain.map(|domain| domain.parse().expect("a domain")),
        };
        urls.of(&Slug::from_random([0; 20]))
    }

    #[test]
    fn urls_follow_the_configuration() {
        let slug = Slug::from_random([0; 20]);
        for (base, domain, url) in [
            ("http://h:7070", None, format!("http://h:7070/p/{slug}/")),
            ("https://h/x", None, format!("https://h/x/p/{slug}/")),
            (
                "http://h:7070",
                Some("d.org"),
                format!("http://{slug}.d.org:7070/"),
            ),
            ("https://h", Some("d.org"), format!("https://{slug}.d.org/")),
            (
                "https://h:1",
                Some("d.org:2"),
                format!("https://{slug}.d.org:2/"),
            ),
        ] {
            assert_eq!(urls(base, domain), url);
        }
    }

    #[test]
    fn browsers_of_this_machine_get_an_origin_of_its_own() {
        let slug = Slug::from_random([0; 20]);
        for (base, url) in [
            (
                "http://127.0.0.1:7070",
                format!("http://{slug}.localhost:7070/"),
            ),
            (
                "http://[::1]:7070",
                format!("http://{slug}.localhost:7070/"),
            ),
            ("http://localhost", format!("http://{slug}.localhost/")),
            (
                "http://10.0.0.1:7070",
                format!("http://10.0.0.1:7070/p/{slug}/"),
            ),
        ] {
            let urls = PreviewUrls {
                base: base.parse().expect("a URL"),
                domain: None,
            };
            assert_eq!(urls.for_browser(&slug), url);
        }
    }

    #[test]
    fn domains_are_names_in_one_spelling() {
        for (text, shown) in [
            ("Preview.Example.ORG", "preview.example.org"),
            ("*.d.org.", "d.org"),
            ("localhost:7070", "localhost:7070"),
        ] {
            let domain: PreviewDomain = text.parse().expect("valid");
            assert_eq!(domain.to_string(), shown);
        }
        let long = "a".repeat(64);
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "-a",
            "a-",
            "127.0.0.1",
            "[::1]",
            "a:x",
            "a:0",
            "a/b",
            &long,
        ] {
            assert!(text.parse::<PreviewDomain>().is_err(), "{text}");
        }
    }
}
