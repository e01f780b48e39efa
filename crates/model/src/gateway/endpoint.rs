//! Where a gateway leads: an origin of HTTPS and a path that every call stays below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::HostName;

const SCHEME: &str = "https://";
const PORT: u16 = 443;
const MAX_BYTES: usize = 2048;
/// Layers of percent signs that are looked through; a path that has more is refused.
const ENCODED_MAX: usize = 4;

/// `https://HOST[:PORT][/PATH]`, with a name and no address as host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    host: HostName,
    port: Option<u16>,
    /// As it was written: empty, or beginning with a slash.
    path: String,
}

/// A path that could lead out of the endpoint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPath;

impl Endpoint {
    #[must_use]
    pub const fn host(&self) -> &HostName {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }

    /// What the header `host` of a call says.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) if port != PORT => format!("{}:{port}", self.host),
            _ => self.host.to_string(),
        }
    }

    /// The endpoint itself, without anything behind it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self.path.is_empty() {
            true => "/",
            false => &self.path,
        }
    }

    /// The target of a call of `path` and `query` as they stand in a request: below the endpoint's
    /// path, whatever a server on the way makes of dots, slashes and percent signs.
    pub fn join(&self, path: &str, query: Option<&str>) -> std::result::Result<String, NoPath> {
        let sound = |b: u8| b.is_ascii_graphic() && b != b'#' && b != b'?';
        if !path.starts_with('/') || !path.bytes().all(sound) || !stays(path) {
            return Err(NoPath);
        }
        // Two slashes in front would name a host to some.
        let path = path.trim_start_matches('/');
        let base = self.path.trim_end_matches('/');
        let mut joined = format!("{base}/{path}");
        if let Some(query) = query {
            joined.push('?');
            joined.push_str(query);
        }
        Ok(joined)
    }
}

/// Whether no segment steps up, in any of the ways that servers decode a path.
fn stays(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..ENCODED_MAX {
        let steps = |segment: &[u8]| {
            // What is behind a semicolon is cut off by some.
            let name = segment.split(|b| *b == b';').next().unwrap_or_default();
            name == b"." || name == b".."
        };
        let bad = |b: &u8| b.is_ascii_control();
        if bytes.split(|b| matches!(b, b'/' | b'\\')).any(steps) || bytes.iter().any(bad) {
            return false;
        }
        let decoded = decoded(&bytes);
        if decoded == bytes {
            return true;
        }
        bytes = decoded;
    }
    false
}

/// One layer of percent signs taken off; what is no such sign stays.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = (byte == b'%').then(|| {
            let high = bytes.get(at + 1).copied().and_then(digit)?;
            let low = bytes.get(at + 2).copied().and_then(digit)?;
            u8::try_from(high * 16 + low).ok()
        });
        match pair.flatten() {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            Error::invalid(
                "endpoint",
                "an endpoint is https://NAME, with or without :PORT and a path; no address, no user, no \
                 query and no \"..\"",
            )
        })
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    let rest = text.strip_prefix(SCHEME)?;
    if text.len() > MAX_BYTES {
        return None;
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse::<u16>().ok().filter(|port| *port > 0 && digits);
            (host, Some(port?))
        }
        None => (authority, None),
    };
    let sound = |b: u8| b.is_ascii_graphic() && !b"?#\\<>\"{}|^`".contains(&b);
    let sound = path.bytes().all(sound) && stays(path);
    Some(Endpoint {
        host: host.parse().ok()?,
        port,
        path: sound.then(|| path.to_owned())?,
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn endpoints_are_names_under_https_and_nothing_that_hides_another_place() {
        for good in [
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com:8443/v1",
            "https://a.b/x%20y",
        ] {
            assert_eq!(endpoint(good).to_string(), good);
        }
        for bad in [
            "",
            "http://api.example.com",
            "HTTPS//x",
            "https://",
            "https://127.0.0.1",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user@api.example.com",
            "https://user:1@api.example.com",
            "https://api.example.com:0",
            "https://api.example.com:+1",
            "https://api.example.com:99999",
            "https://api.example.com?x=1",
            "https://api.example.com/?x=1",
            "https://api.example.com/#x",
            "https://api.example.com/a/../b",
            "https://api.example.com/%2e%2e/b",
            "https://api.example.com/a b",
            "https://api.example.com/a\r\nb",
            "https://api.example.com\\@other",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
        let port = endpoint("https://api.example.com:8443/v1");
        assert_eq!(
            (port.port(), port.authority().as_str()),
            (8443, "api.example.com:8443")
        );
        assert_eq!(endpoint("https://a.b:443").authority(), "a.b");
    }

    #[test]
    fn paths_are_joined_below_the_endpoint() {
        let join = |base: &str, path: &str| endpoint(base).join(path, None);
        for (base, path, expected) in [
            ("https://a.b", "/", "/"),
            ("https://a.b", "/v1/x", "/v1/x"),
            ("https://a.b/", "//v1/x", "/v1/x"),
            ("https://a.b/v1", "/x", "/v1/x"),
            ("https://a.b/v1/", "//evil.test/x", "/v1/evil.test/x"),
            (
                "https://a.b/v1",
                "/a%2Fb/..c/.d/...",
                "/v1/a%2Fb/..c/.d/...",
            ),
            ("https://a.b/v1", "/100%25", "/v1/100%25"),
            ("https://a.b/v1", "/a:b@c", "/v1/a:b@c"),
        ] {
            assert_eq!(join(base, path).as_deref(), Ok(expected), "{base} {path}");
        }
        let query = endpoint("https://a.b/v1").join("/x", Some("a=../.."));
        assert_eq!(query.as_deref(), Ok("/v1/x?a=../.."));
    }

    #[test]
    fn paths_that_step_up_in_any_spelling_are_refused() {
        let base = endpoint("https://a.b/v1");
        for bad in [
            "",
            "*",
            "x",
            "http://a.b/x",
            "/..",
            "/../x",
            "/x/..",
            "/x/./y",
            "/%2e%2e/x",
            "/%2E./x",
            "/x/..%2fy",
            "/x%2f..%2fy",
            "/x/..%5cy",
            "/..\\x",
            "/%252e%252e/x",
            "/%25252e%25252e/x",
            "/%2525252525252e/x",
            "/..;/x",
            "/..;a=b/x",
            "/x%00",
            "/x%0d%0aHost:y",
            "/x y",
            "/x#y",
            "/é",
        ] {
            assert_eq!(base.join(bad, None), Err(NoPath), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_joined_begins_with_the_endpoints_path(path in "[/.%25eEfF\\\\;a]{0,12}") {
            if let Ok(joined) = endpoint("https://a.b/v1").join(&path, None) {
                prop_assert!(joined.starts_with("/v1/"));
                prop_assert!(!joined.split('/').any(|part| part == ".." || part == "."));
            }
        }
    }
}
