//! What a key is confined to beside its role: some kinds of things, and of each to looking or to using.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn of(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

words! {
    /// A kind of things that a key may be confined to.
    Resource {
        /// Sandboxes and all that happens in them: commands, files, code, previews, SSH, pipelines.
        Sandboxes = "sandboxes",
        /// Images, their builds and pulls, and templates. Sandboxes may be made of them without it.
        Images = "images",
        /// Snapshots: taking them, looking at them, and making sandboxes of them.
        Snapshots = "snapshots",
        /// Objects: also where they are mounted into sandboxes or made from what is in one.
        Objects = "objects",
        /// Secrets: also where a sandbox is made with one.
        Secrets = "secrets",
        /// Network policies with a name. Sandboxes may be made with one without it.
        NetworkPolicies = "network_policies",
        /// Event streams and their databases.
        Axons = "axons",
        /// The project itself, keys, quotas, usage and the audit trail.
        Account = "account",
    }
}

words! {
    /// How far a key goes with a kind of things. Writing includes reading.
    Level {
        Read = "read",
        Write = "write",
    }
}

/// One thing that a key may do, such as `sandboxes:write`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    pub resource: Resource,
    pub level: Level,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.as_str(), self.level.as_str())
    }
}

impl FromStr for Scope {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = text.split_once(':').and_then(|(resource, level)| {
            let (resource, level) = (Resource::of(resource)?, Level::of(level)?);
            Some(Self { resource, level })
        });
        known.ok_or_else(|| {
            let resources: Vec<_> = Resource::ALL.iter().map(|one| one.as_str()).collect();
            let why = format!(
                "a scope is RESOURCE:read or RESOURCE:write, where RESOURCE is one of {}",
                resources.join(", ")
            );
            Error::invalid("scopes", why)
        })
    }
}

/// What a key may do as far as its role allows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scopes {
    #[default]
    All,
    Only(BTreeMap<Resource, Level>),
}

impl Scopes {
    /// Of one resource named twice the wider level counts.
    ///
    /// # Errors
    /// `invalid_argument` where there is none: such a key could do nothing.
    pub fn only(scopes: impl IntoIterator<Item = Scope>) -> Result<Self> {
        let mut only = BTreeMap::new();
        for Scope { resource, level } in scopes {
            let held = only.entry(resource).or_insert(level);
            *held = level.max(*held);
        }
        if only.is_empty() {
            return Err(Error::invalid(
                "scopes",
                "a key with scopes has at least one; leave `scopes` out for a key with all",
            ));
        }
        Ok(Self::Only(only))
    }

    /// From their texts.
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Self> {
        let scopes: Result<Vec<Scope>> = texts.iter().map(|one| one.as_ref().parse()).collect();
        Self::only(scopes?)
    }

    /// `None` for all.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<String>> {
        let Self::Only(only) = self else {
            return None;
        };
        let scopes = only
            .iter()
            .map(|(&resource, &level)| Scope { resource, level });
        Some(scopes.map(|scope| scope.to_string()).collect())
    }

    #[must_use]
    pub fn allow(&self, resource: Resource, level: Level) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only.get(&resource).is_some_and(|held| *held >= level),
        }
    }

    /// Whether all that `other` allows is allowed here.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(_), Self::Only(other)) => other
                .iter()
                .all(|(&resource, &level)| self.allow(resource, level)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::parse(texts).expect("valid")
    }

    #[test]
    fn writing_includes_reading_and_nothing_else_is_included() {
        let some = scopes(&["objects:read", "sandboxes:write", "sandboxes:read"]);
        assert!(some.allow(Resource::Sandboxes, Level::Write));
        assert!(some.allow(Resource::Sandboxes, Level::Read));
        assert!(some.allow(Resource::Objects, Level::Read));
        assert!(!some.allow(Resource::Objects, Level::Write));
        assert!(!some.allow(Resource::Account, Level::Read));
    }

    #[test]
    fn what_covers_is_never_narrower() {
        let (wide, narrow) = (scopes(&["objects:write"]), scopes(&["objects:read"]));
        assert!(Scopes::All.cover(&wide) && wide.cover(&narrow) && wide.cover(&wide));
        assert!(!narrow.cover(&wide) && !wide.cover(&Scopes::All));
        assert!(!wide.cover(&scopes(&["objects:read", "secrets:read"])));
    }

    #[test]
    fn every_scope_reads_back_and_others_are_refused() {
        for &resource in Resource::ALL {
            for &level in Level::ALL {
                let text = Scope { resource, level }.to_string();
                assert_eq!(scopes(&[&text]).texts(), Some(vec![text]));
            }
        }
        for wrong in [
            "",
            "sandboxes",
            "sandboxes:",
            "sandboxes:all",
            ":read",
            "keys:read",
        ] {
            assert!(Scopes::parse(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(Scopes::only([]).is_err());
    }
}
