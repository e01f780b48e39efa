//! Typed identifiers: a short prefix, `_`, then a time-ordered UUID (version 7) in hex.
//!
//! No id holds a second `_`, so splitting at the first one is always right.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form {prefix}_<letters and digits>")]
pub struct InvalidId {
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id; later ids sort after earlier ones to the millisecond.
            #[must_use]
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "_{}"), uuid::Uuid::now_v7().simple()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_id(text, $prefix) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { prefix: $prefix })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Ids become directory and cgroup names, so nothing but ASCII letters and digits may follow the
/// prefix, and their length is bounded.
fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| {
            (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

id!(/// Owner of projects. 
    OrgId, "org");
id!(/// Where sandboxes, keys and quotas live.
    ProjectId, "prj");
id!(/// An API key (its public name, never its secret).
    KeyId, "key");
id!(/// An isolated computer.
    SandboxId, "sbx");
id!(/// One process invocation in a sandbox.
    CommandId, "cmd");
id!(/// An interpreter in a sandbox that keeps its variables between runs.
    CodeContextId, "cctx");
id!(/// An interactive terminal in a sandbox.
    SessionId, "pty");
id!(/// Something bootable.
    ImageId, "img");
id!(/// A pull of an image from a registry.
    PullId, "pull");
id!(/// A named recipe for sandboxes.
    TemplateId, "tpl");
id!(/// One immutable version of a template.
    TemplateVersionId, "tplv");
id!(/// An address outside that reaches a port inside.
    PreviewId, "prv");
id!(/// A key that opens one sandbox over SSH.
    SshKeyId, "ssh");
id!(/// The making of an image from a Dockerfile.
    BuildId, "bld");
id!(/// Rules that have a name.
    NetworkPolicyId, "np");
id!(/// A stream of events, and its database.
    AxonId, "axn");
id!(/// A place outside that sandboxes call through the server.
    GatewayId, "gw");
id!(/// A credential that is kept sealed.
    SecretId, "sec");
id!(/// A named blob.
    ObjectId, "obj");
id!(/// Bytes in the object storage; several objects may have the same.
    BlobId, "blb");
id!(/// One line of the audit trail.
    AuditId, "aud");
id!(/// One request, for tracing it through logs and errors.
    RequestId, "req");

/// A run of a pipeline: a number that is unique in an installation and grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u64);

impl RunId {
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_parse_and_sort_by_time() {
        let a = SandboxId::generate();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let b = SandboxId::generate();
        assert_eq!(a.as_str().parse::<SandboxId>(), Ok(a.clone()));
        assert!(a < b);
    }

    #[test]
    fn foreign_and_hostile_texts_are_refused() {
        for text in [
            "", "sbx", "sbx_", "cmd_1", "sbx_../x", "sbx_a_b", "sbx_a/b", "sbx_é", "sbx_a\n",
        ] {
            assert!(text.parse::<SandboxId>().is_err(), "{text:?}");
        }
        assert!(
            format!("sbx_{}", "a".repeat(65))
                .parse::<SandboxId>()
                .is_err()
        );
    }
}
