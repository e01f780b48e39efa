//! Previews: addresses outside that reach a port inside a sandbox.

use std::str::FromStr;

use crate::Time;
use crate::error::{Error, Result};
use crate::id::{PreviewId, ProjectId, SandboxId};

/// Random letters of a slug: 5 bits each, so nobody finds one by trying.
const SLUG_LETTERS: usize = 20;
const SLUG_PREFIX: &str = "p-";
/// Lower case only: a slug is a DNS label, and host names do not keep their case.
const SLUG_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name of a preview in its address: a DNS label that cannot be guessed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

/// The text is no slug of a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a preview's slug, such as p-a2b3c4d5e6f7a2b3c4d5")]
pub struct InvalidSlug;

impl Slug {
    /// From random bytes, which the caller brings: this crate has no source of its own.
    #[must_use]
    pub fn from_random(bytes: [u8; SLUG_LETTERS]) -> Self {
        let letters = bytes.map(|byte| char::from(SLUG_ALPHABET[usize::from(byte % 32)]));
        Self(SLUG_PREFIX.chars().chain(letters).collect())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = InvalidSlug;
    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        let letters = text.strip_prefix(SLUG_PREFIX).ok_or(InvalidSlug)?;
        let known = letters.bytes().all(|b| SLUG_ALPHABET.contains(&b));
        if letters.len() == SLUG_LETTERS && known {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSlug)
        }
    }
}

/// What opens a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PreviewAccess {
    /// A key that may use the sandbox.
    #[default]
    Authenticated,
    /// The preview's own token, or a key that may use the sandbox.
    Token,
    /// Nothing: whoever knows the address may use it.
    Public,
}

impl PreviewAccess {
    pub const ALL: [Self; 3] = [Self::Authenticated, Self::Token, Self::Public];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Token => "token",
            Self::Public => "public",
        }
    }
}

impl FromStr for PreviewAccess {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|access| access.as_str() == text)
            .ok_or_else(|| {
                Error::invalid(
                    "access",
                    "access must be \"authenticated\", \"token\" or \"public\"",
                )
            })
    }
}

/// An address outside that reaches a port inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub id: PreviewId,
    pub slug: Slug,
    pub sandbox: SandboxId,
    pub project: ProjectId,
    /// 1 to 65535.
    pub port: u16,
    pub access: PreviewAccess,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    /// When its sandbox ended, which ended the preview.
    pub sandbox_ended_at: Option<Time>,
}

/// Whether a preview's address leads anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PreviewState {
    Active,
    Revoked,
    Expired,
    /// Its sandbox has been destroyed or has failed.
    Ended,
}

impl PreviewState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

impl Preview {
    #[must_use]
    pub fn state(&self, now: Time) -> PreviewState {
        if self.revoked_at.is_some() {
            PreviewState::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            PreviewState::Expired
        } else if self.sandbox_ended_at.is_some() {
            PreviewState::Ended
        } else {
            PreviewState::Active
        }
    }
}

/// A port number as callers give it.
pub fn port(number: i64) -> Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Error::invalid("port", "port must be from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_dns_labels_and_nothing_else_is_one() {
        let slug = Slug::from_random(std::array::from_fn(|n| n as u8 * 13));
        assert_eq!(slug.as_str().parse(), Ok(slug.clone()));
        assert!(slug.as_str().len() <= 63);
        let upper = slug.as_str().to_uppercase();
        let long = format!("{slug}a");
        for text in ["", "p-", "p-short", &upper, &long, "p-aaaaaaaaaaaaaaaaaaa1"] {
            assert!(text.parse::<Slug>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_have_bounds() {
        assert_eq!(port(1).expect("valid"), 1);
        assert_eq!(port(65535).expect("valid"), 65535);
        for number in [0, -1, 65536, i64::MAX] {
            assert_eq!(
                port(number).expect_err("refused").details()["field"],
                "port"
            );
        }
    }

    #[test]
    fn a_revocation_outranks_what_comes_after_it() {
        let at = |s| Time::from_second(s).expect("a time");
        let preview = Preview {
            id: PreviewId::generate(),
            slug: Slug::from_random([0; 20]),
            sandbox: SandboxId::generate(),
            project: ProjectId::generate(),
            port: 80,
            access: PreviewAccess::Public,
            created_at: at(0),
            expires_at: Some(at(10)),
            revoked_at: None,
            sandbox_ended_at: None,
        };
        assert_eq!(preview.state(at(9)), PreviewState::Active);
        assert_eq!(preview.state(at(10)), PreviewState::Expired);
        let ended = Preview {
            sandbox_ended_at: Some(at(5)),
            ..preview.clone()
        };
        assert_eq!(ended.state(at(9)), PreviewState::Ended);
        let revoked = Preview {
            revoked_at: Some(at(4)),
            ..ended
        };
        assert_eq!(revoked.state(at(20)), PreviewState::Revoked);
    }
}
