//! Which of the images behind one name is wanted. No I/O.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::{Arch, Os, Platform as OciPlatform};
use pinfold_model::Error;

/// `linux/ARCHITECTURE` or `linux/ARCHITECTURE/VARIANT`, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    architecture: Arch,
    variant: Option<String>,
}

impl Default for Platform {
    /// This machine's.
    fn default() -> Self {
        Self {
            architecture: Arch::default(),
            variant: None,
        }
    }
}

impl Platform {
    /// Whether this machine runs it.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        self.architecture == Arch::default()
    }

    pub(crate) fn architecture(&self) -> &Arch {
        &self.architecture
    }

    /// Whether an image for `other` is what is wanted. Without a variant any will do.
    pub(crate) fn fits(&self, other: &OciPlatform) -> bool {
        *other.os() == Os::Linux
            && *other.architecture() == self.architecture
            && (self.variant.is_none() || self.variant == *other.variant())
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let word = |word: &&str| {
            (1..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["linux", architecture] if word(architecture) => Ok(Self {
                architecture: Arch::from(*architecture),
                variant: None,
            }),
            ["linux", architecture, variant] if word(architecture) && word(variant) => Ok(Self {
                architecture: Arch::from(*architecture),
                variant: Some((*variant).to_owned()),
            }),
            _ => Err(Error::invalid(
                "platform",
                "a platform is linux/ARCHITECTURE or linux/ARCHITECTURE/VARIANT, such as linux/amd64",
            )),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_parse_and_show_alike() {
        for text in ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"] {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "linux",
            "windows/amd64",
            "linux/",
            "linux/a/b/c",
            "linux/a b",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
