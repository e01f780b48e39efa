//! Everything bootable is an image: ordered content-addressed layers plus a config.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{ImageId, ProjectId};

/// `sha256:` and 64 lower-case hex digits: names a layer by its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    #[must_use]
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in bytes {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// The hex digits alone, safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let ok = text.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(
                "digest",
                "a digest is sha256: and 64 lower-case hex digits",
            ))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name:tag`, the tag `latest` where none is given. The name may hold `/`, `.` and a registry's
/// port, as OCI references do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    name: String,
    tag: String,
}

impl ImageName {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl FromStr for ImageName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        let part = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let good_name = name.len() <= 255
            && name
                .split('/')
                .enumerate()
                .all(|(at, segment)| match segment.split_once(':') {
                    Some((host, port)) => {
                        at == 0 && name.contains('/') && part(host) && port.parse::<u16>().is_ok()
                    }
                    None => part(segment) && segment != "." && segment != "..",
                });
        if good_name && part(tag) && tag.len() <= 128 {
            return Ok(Self {
                name: name.to_owned(),
                tag: tag.to_owned(),
            });
        }
        Err(Error::new(
            Code::InvalidArgument,
            "an image name is NAME or NAME:TAG of letters, digits, '.', '_', '-' and '/'",
        )
        .detail("field", "image"))
    }
}

impl TryFrom<String> for ImageName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> String {
        name.to_string()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// What an image says about how it wants to be run; the names are OCI's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    pub env: BTreeMap<String, String>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// A read-only view of this machine's own /usr.
    Host,
    /// A tar of a root filesystem.
    Tar,
    /// An OCI layout on disk.
    OciLayout,
}

/// Something bootable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub id: ImageId,
    /// `None`: shared by every project (imported by the operator).
    pub project: Option<ProjectId>,
    pub source: ImageSource,
    /// Lowest first.
    pub layers: Vec<Digest>,
    pub config: ImageConfig,
    /// Unpacked size of all layers.
    pub size_bytes: u64,
    pub names: Vec<ImageName>,
    pub created_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_tag_registry_and_port_parse() {
        for (text, shown) in [
            ("python", "python:latest"),
            ("python:3.12", "python:3.12"),
            ("a.example/b/c", "a.example/b/c:latest"),
            ("localhost:5000/b:1", "localhost:5000/b:1"),
        ] {
            assert_eq!(text.parse::<ImageName>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "", ":", "a:", "../etc", "a/../b", "a b", "a:b c", "a//b", "/a", "a:5000:x",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn digests_are_exact() {
        let digest = Digest::from_sha256([0xab; 32]);
        assert_eq!(digest.as_str().parse::<Digest>().expect("own text"), digest);
        assert!("sha256:AB".parse::<Digest>().is_err());
        assert!(
            format!("sha256:{}", "../".repeat(22))
                .parse::<Digest>()
                .is_err()
        );
    }
}
