//! Everything bootable is an image: ordered content-addressed layers plus a config.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{BuildId, ImageId, ProjectId, SandboxId};

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

/// `name:tag`, `name@digest` or `name:tag@digest`; the tag is `latest` where neither is given. The
/// name may hold `/`, `.` and a registry's port, as OCI references do. A digest names the manifest
/// in a registry: such a name is given only to what was pulled and verified under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    name: String,
    /// `None` only with a digest.
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageName {
    /// Tag of a name that says neither tag nor digest.
    const DEFAULT_TAG: &str = "latest";
    /// Characters of a name without tag and digest.
    const NAME_MAX_CHARS: usize = 255;
    const TAG_MAX_CHARS: usize = 128;

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows the name, as it is stored: `tag`, `tag@sha256:...` or `@sha256:...`.
    #[must_use]
    pub fn version(&self) -> String {
        let tag = self.tag.as_deref().unwrap_or_default();
        match &self.digest {
            Some(digest) => format!("{tag}@{digest}"),
            None => tag.to_owned(),
        }
    }

    /// The name and what [`ImageName::version`] said.
    ///
    /// # Errors
    /// They do not make a name.
    pub fn from_parts(name: &str, version: &str) -> Result<Self> {
        match version.starts_with('@') {
            true => format!("{name}{version}").parse(),
            false => format!("{name}:{version}").parse(),
        }
    }

    /// The digest that the name pins its image to.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl FromStr for ImageName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (tagged, digest) = match text.split_once('@') {
            Some((tagged, digest)) => (tagged, Some(digest.parse().map_err(bad_digest)?)),
            None => (text, None),
        };
        let (name, tag) = match tagged.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (tagged, None),
        };
        if is_good_name(name) && tag.is_none_or(is_good_tag) {
            let default = digest.is_none().then_some(Self::DEFAULT_TAG);
            return Ok(Self {
                name: name.to_owned(),
                tag: tag.or(default).map(str::to_owned),
                digest,
            });
        }
        Err(Error::new(
            Code::InvalidArgument,
            "an image name is NAME, NAME:TAG or NAME@sha256:DIGEST; NAME is letters, digits, '.', \
             '_', '-' and '/', and may begin with a registry's HOST or HOST:PORT",
        )
        .detail("field", "image"))
    }
}

fn is_good_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_good_name(name: &str) -> bool {
    let segment = |at: usize, segment: &str| match segment.split_once(':') {
        Some((host, port)) => {
            at == 0 && name.contains('/') && is_good_part(host) && port.parse::<u16>().is_ok()
        }
        None => is_good_part(segment) && segment != "." && segment != "..",
    };
    name.len() <= ImageName::NAME_MAX_CHARS
        && name
            .split('/')
            .enumerate()
            .all(|(at, text)| segment(at, text))
}

fn is_good_tag(tag: &str) -> bool {
    is_good_part(tag) && tag.len() <= ImageName::TAG_MAX_CHARS
}

fn bad_digest(error: Error) -> Error {
    Error::invalid("image", format!("in an image name, {}", error.message()))
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
        match &self.tag {
            Some(_) => write!(f, "{}:{}", self.name, self.version()),
            None => write!(f, "{}{}", self.name, self.version()),
        }
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
    /// `NUMBER/PROTOCOL` or `FIRST-LAST/PROTOCOL`.
    #[serde(default)]
    pub exposed_ports: Vec<String>,
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
    /// A registry.
    Registry {
        /// What was pulled, in full: registry, repository, and tag or digest.
        reference: String,
        /// Of the manifest that the reference meant then: an index where it has several platforms.
        digest: Digest,
        /// Which of its platforms was asked for, such as `linux/arm64`; of images pulled before this
        /// was kept, `None`.
        #[serde(default)]
        platform: Option<String>,
    },
    /// The disk of a sandbox, as it was at one moment, over the layers of the image below.
    Snapshot {
        sandbox: SandboxId,
        /// What the sandbox was made from.
        base: ImageId,
        /// Under the layers lies the image `host`.
        on_host: bool,
    },
    /// A Dockerfile, over the layers of the image below.
    Build {
        build: BuildId,
        /// What its last stage was built on; `None`: nothing.
        base: Option<ImageId>,
        /// Under the layers lies the image `host`.
        on_host: bool,
        /// Whose copy of a disk it begins with; several images may have one. `None`: none.
        disk: Option<ImageId>,
    },
}

impl ImageSource {
    #[must_use]
    pub const fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot { .. })
    }

    /// Shows this machine's own view below whatever else it holds.
    #[must_use]
    pub const fn is_on_host(&self) -> bool {
        matches!(
            self,
            Self::Host | Self::Snapshot { on_host: true, .. } | Self::Build { on_host: true, .. }
        )
    }
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
    /// Unpacked size of all layers; what a snapshot holds over them is not counted.
    pub size_bytes: u64,
    pub names: Vec<ImageName>,
    pub created_at: Time,
}

impl Image {
    /// The copy of a disk that it begins with, called by the image that was recorded with it.
    #[must_use]
    pub const fn disk(&self) -> Option<&ImageId> {
        match &self.source {
            ImageSource::Snapshot { .. } => Some(&self.id),
            ImageSource::Build { disk, .. } => disk.as_ref(),
            ImageSource::Host
            | ImageSource::Tar
            | ImageSource::OciLayout
            | ImageSource::Registry { .. } => None,
        }
    }
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
            let name = text.parse::<ImageName>().expect(text);
            assert_eq!(name.to_string(), shown);
            let again = ImageName::from_parts(name.name(), &name.version());
            assert_eq!(again.expect("own parts"), name);
        }
    }

    #[test]
    fn digests_pin_names_and_replace_the_default_tag() {
        let digest = Digest::from_sha256([7; 32]);
        for text in ["a.example:5000/b/c", "python:3.12"] {
            let pinned = format!("{text}@{digest}");
            let name = pinned.parse::<ImageName>().expect("pinned");
            assert_eq!(name.to_string(), pinned);
            assert_eq!(name.digest(), Some(&digest));
            let again = ImageName::from_parts(name.name(), &name.version());
            assert_eq!(again.expect("own parts"), name);
        }
        for bad in ["a@", "a@sha256:12", "@sha256:12", "a@sha512:00", "a@b@c"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
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
