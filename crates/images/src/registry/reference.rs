//! Names of images in registries, as users write them. The default registry, and how short names
//! are completed, is the knowledge of `oci-spec`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use oci_spec::distribution::{ParseError, Reference as OciReference};
use pinfold_model::Digest;

/// An image in a registry: `python:3.12`, `user/name`, `host:port/name@sha256:...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    whole: OciReference,
    digest: Option<Digest>,
}

/// A text that names no image of a registry.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no image reference such as NAME:TAG or HOST:PORT/NAME@sha256:DIGEST: {why}")]
pub struct ReferenceError {
    text: String,
    why: String,
}

/// Longest text that is looked at, in bytes.
const TEXT_MAX_BYTES: usize = 1024;

impl Reference {
    /// The registry's `host` or `host:port`, as it is contacted.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.whole.resolve_registry()
    }

    /// The registry as it is named in files of credentials.
    pub(super) fn registry_name(&self) -> &str {
        self.whole.registry()
    }

    #[must_use]
    pub fn repository(&self) -> &str {
        self.whole.repository()
    }

    /// What the image is pinned to.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a request for the manifest names: the digest, else the tag.
    pub(super) fn version(&self) -> &str {
        match &self.digest {
            Some(digest) => digest.as_str(),
            None => self.whole.tag().unwrap_or("latest"),
        }
    }

    /// The registry's host without the port and the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let registry = self.registry();
        match registry
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((address, _)) => address,
            None => registry.rsplit_once(':').map_or(registry, |(host, _)| host),
        }
    }

    /// Whether the registry is this machine itself, by its name.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host().to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let refused = |why: String| ReferenceError {
            text: text.chars().take(200).collect(),
            why,
        };
        if text.len() > TEXT_MAX_BYTES {
            return Err(refused(format!("it is longer than {TEXT_MAX_BYTES} bytes")));
        }
        let whole: OciReference = text
            .parse()
            .map_err(|error: ParseError| refused(error.to_string()))?;
        let digest = whole.digest().map(str::parse).transpose();
        let digest = digest.map_err(|_| refused("only sha256 digests are supported".to_owned()))?;
        Ok(Self { whole, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Reference {
        text.parse().expect(text)
    }

    #[test]
    fn short_names_are_completed_and_full_ones_kept() {
        assert_eq!(parsed("python").version(), "latest");
        assert_eq!(parsed("python:3.12").version(), "3.12");
        assert!(parsed("python:3.12").repository().ends_with("/python"));
        assert_eq!(parsed("user/name").repository(), "user/name");
        assert_eq!(parsed("python").registry(), parsed("user/name").registry());
        let own = parsed("localhost:5000/a/b:1");
        assert_eq!(
            (own.registry(), own.repository(), own.version()),
            ("localhost:5000", "a/b", "1")
        );
    }

    #[test]
    fn a_digest_wins_over_the_tag_beside_it() {
        let digest = Digest::from_sha256([1; 32]);
        let both = parsed(&format!("reg.example/a:1@{digest}"));
        assert_eq!(both.version(), digest.as_str());
        assert_eq!(both.digest(), Some(&digest));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for text in [
            "localhost/a",
            "localhost:1/a",
            "127.0.0.1:5000/a",
            "127.9.9.9:1/a",
        ] {
            assert!(parsed(text).is_loopback(), "{text}");
        }
        for text in [
            "python",
            "localhost.example/a",
            "10.0.0.1:5000/a",
            "127.0.0.1.example/a",
        ] {
            assert!(!parsed(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_text() {
        let long = "a".repeat(5000);
        for text in [
            "",
            "A/B",
            "a b",
            "../a",
            "a@sha256:12",
            "http://x/y",
            long.as_str(),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
