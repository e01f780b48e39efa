//! A sandbox: what was asked for, what it is now, and which changes are legal.
//!
//! ```text
//! creating -> running <-> suspended        running|suspended -> stopped -> running
//! creating|running -> failed(reason)       any -> destroyed
//! ```

mod end_reason;
mod lifetime;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::command::CommandSpec;
use crate::credential::{self, Credential};
use crate::error::{Error, Result};
use crate::farewell::Farewell;
use crate::gateway::{GatewayBinding, validate_bindings};
use crate::id::{
    ImageId, KeyId, NetworkPolicyId, ProjectId, SandboxId, TemplateId, TemplateVersionId,
};
use crate::limits;
use crate::network::NetworkPolicy;
use crate::resources::{NetworkMode, Resources};
use crate::setup::{Main, Setup, validate_secret_names};

pub use end_reason::EndReason;
pub use lifetime::TtlCounts;
pub use state::{SandboxEvent, SandboxState};

/// A directory of this machine made visible inside. Only the embedded CLI and operators' templates
/// may ask for one; no request over HTTP can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMount {
    pub source: String,
    pub target: String,
    pub access: MountAccess,
}

impl HostMount {
    /// Both paths are absolute, and the target says plainly where it is.
    pub fn validate(&self) -> Result<()> {
        const FIELD: &str = "mounts";
        validate_path(FIELD, &self.source)?;
        validate_path(FIELD, &self.target)?;
        let mut parts = self.target.split('/').filter(|part| !part.is_empty());
        if parts.clone().any(|part| part == "." || part == "..") {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "a mount's target holds no \".\" or \"..\": {:?}",
                    self.target
                ),
            ));
        }
        match parts.next() {
            Some(_) => Ok(()),
            None => Err(Error::invalid(
                FIELD,
                "a mount cannot replace the root directory",
            )),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountAccess {
    ReadOnly,
    ReadWrite,
}

/// What to do with a sandbox that nothing has used for its idle timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleAction {
    #[default]
    Destroy,
    Suspend,
    Stop,
}

/// Which template a sandbox was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateOrigin {
    pub id: TemplateId,
    /// As the template was called then.
    pub name: String,
    pub version: u32,
}

/// Everything that decides what a sandbox is; resolved once at creation and then immutable, but for
/// its network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    pub name: Option<String>,
    pub image: ImageId,
    /// How the caller named the image, for people.
    pub image_name: String,
    pub template_version: Option<TemplateVersionId>,
    /// The template that `template_version` is of.
    #[serde(default)]
    pub template: Option<TemplateOrigin>,
    /// Its disk began as a copy of this one's.
    #[serde(default)]
    pub forked_from: Option<SandboxId>,
    pub resources: Resources,
    pub network: NetworkMode,
    /// Of mode `policy`; empty in any other.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// Whose rules those are: a policy of the project that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy_id: Option<NetworkPolicyId>,
    /// Added to the environment of every command, over the image's own.
    pub env: BTreeMap<String, String>,
    /// Default working directory of commands.
    pub workdir: String,
    /// Default user of commands: a name or `uid[:gid]` of the image's own /etc/passwd.
    pub user: String,
    pub hostname: String,
    pub metadata: BTreeMap<String, String>,
    /// Absolute lifetime from creation; `None` lives until destroyed.
    pub ttl: Option<Duration>,
    /// Time without a running command, an open session or a file call.
    pub idle_timeout: Option<Duration>,
    pub idle_action: IdleAction,
    pub mounts: Vec<HostMount>,
    /// What the egress proxy adds to its requests on their way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    #[serde(default, skip_serializing_if = "SandboxExtras::is_usual")]
    pub more: SandboxExtras,
}

/// What few sandboxes have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxExtras {
    #[serde(skip_serializing_if = "Setup::is_empty")]
    pub setup: Setup,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<Main>,
    /// Before each suspend and stop of one that is set up.
    #[serde(skip_serializing_if = "Farewell::is_empty")]
    pub farewell: Farewell,
    /// Environment variables of every command, and the project's secrets whose values they have.
    /// Each life of the sandbox has the values that were there when it began.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Places outside that it may call, without the secrets that go with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<GatewayBinding>,
    /// When the absolute lifetime counts.
    #[serde(skip_serializing_if = "TtlCounts::is_always")]
    pub ttl_counts: TtlCounts,
    /// What a facade keeps with it for itself; nobody else reads or shows it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl SandboxExtras {
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub fn validate(&self) -> Result<()> {
        self.setup.validate()?;
        self.farewell.validate()?;
        if let Some(main) = &self.main {
            CommandSpec::new(main.program.clone()).validate()?;
        }
        validate_secret_names(&self.secrets)?;
        validate_bindings(&self.gateways)?;
        validate_annotations(&self.annotations)
    }
}

/// What facades keep with things is bounded.
pub fn validate_annotations(annotations: &BTreeMap<String, String>) -> Result<()> {
    let texts = annotations.iter();
    let bytes: usize = texts.map(|(name, text)| name.len() + text.len()).sum();
    if bytes > limits::ANNOTATIONS_MAX_BYTES {
        return Err(Error::invalid(
            "body",
            format!("the request is too large: {bytes} bytes of it are to be kept"),
        ));
    }
    Ok(())
}

impl SandboxSpec {
    /// The same for a sandbox that ends, where that is another one: nobody sets it up any more.
    #[must_use]
    pub fn ended(&self) -> Option<Self> {
        let mut setup = self.more.setup.clone();
        setup.end();
        (setup != self.more.setup).then(|| {
            let mut spec = self.clone();
            spec.more.setup = setup;
            spec
        })
    }

    /// Checks the parts that callers choose. The first fault found is the one reported.
    pub fn validate(&self) -> Result<()> {
        self.resources.validate()?;
        validate_network(self.network, &self.network_policy)?;
        if let Some(name) = &self.name {
            validate_name("name", name)?;
        }
        validate_metadata(&self.metadata)?;
        validate_env(&self.env)?;
        validate_path("workdir", &self.workdir)?;
        credential::validate(&self.credentials, self.network)?;
        self.more.validate()?;
        for (field, value) in [("ttl_ms", self.ttl), ("idle_timeout_ms", self.idle_timeout)] {
            if value.is_some_and(|d| d.is_zero() || d > limits::TTL_MAX) {
                return Err(Error::invalid(
                    field,
                    format!("{field} must be from 1 ms to 30 days"),
                ));
            }
        }
        Ok(())
    }
}

/// Rules are for the mode that obeys them.
pub fn validate_network(mode: NetworkMode, policy: &NetworkPolicy) -> Result<()> {
    if mode != NetworkMode::Policy && !policy.is_empty() {
        return Err(Error::invalid(
            "network_policy",
            "network_policy has rules, which need network \"policy\"",
        ));
    }
    policy.validate()
}

/// A name people choose: 1 to 100 printable characters, no leading or trailing space.
pub fn validate_name(field: &str, name: &str) -> Result<()> {
    let chars = name.chars().count();
    if chars == 0 || chars > limits::NAME_MAX_CHARS {
        return Err(Error::invalid(
            field,
            format!(
                "{field} must be 1 to {} characters long, not {chars}",
                limits::NAME_MAX_CHARS
            ),
        ));
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return Err(Error::invalid(
            field,
            format!("{field} must not hold control characters nor begin or end with a space"),
        ));
    }
    Ok(())
}

/// An absolute path inside a sandbox, without NUL.
pub fn validate_path(field: &str, path: &str) -> Result<()> {
    if !path.starts_with('/') {
        return Err(Error::invalid(
            field,
            format!("{field} must be an absolute path"),
        ));
    }
    if path.len() > limits::PATH_MAX_BYTES || path.contains('\0') {
        return Err(Error::invalid(
            field,
            format!(
                "{field} must hold no NUL and at most {} bytes",
                limits::PATH_MAX_BYTES
            ),
        ));
    }
    Ok(())
}

pub fn validate_metadata(metadata: &BTreeMap<String, String>) -> Result<()> {
    if metadata.len() > limits::METADATA_MAX_KEYS {
        return Err(Error::invalid(
            "metadata",
            format!(
                "metadata may hold at most {} keys",
                limits::METADATA_MAX_KEYS
            ),
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.chars().count() > limits::METADATA_KEY_MAX_CHARS {
            return Err(Error::invalid(
                "metadata",
                "a metadata key must be 1 to 128 characters",
            ));
        }
        if value.chars().count() > limits::METADATA_VALUE_MAX_CHARS {
            return Err(Error::invalid(
                "metadata",
                format!("the metadata value of {key:?} must be at most 4096 characters"),
            ));
        }
    }
    Ok(())
}

/// Environment names must be usable as such: not empty, no `=`, no NUL.
pub fn validate_env(env: &BTreeMap<String, String>) -> Result<()> {
    if env.len() > limits::ENV_MAX_VARS {
        return Err(Error::invalid(
            "env",
            format!("env may hold at most {} variables", limits::ENV_MAX_VARS),
        ));
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::invalid(
                "env",
                format!("{name:?} is no usable environment variable: no '=', no NUL, not empty"),
            ));
        }
        if name.len() + 1 + value.len() > limits::ENV_VAR_MAX_BYTES {
            return Err(Error::invalid(
                "env",
                format!(
                    "the environment variable {name:?} is too long: its name and value may have {} bytes together; \
                     write long values to a file",
                    limits::ENV_VAR_MAX_BYTES - 1
                ),
            ));
        }
    }
    Ok(())
}

/// A sandbox as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    pub id: SandboxId,
    pub project: ProjectId,
    /// The key that made it, whose quota it counts against; `None`: the process itself.
    pub key: Option<KeyId>,
    pub spec: SandboxSpec,
    pub state: SandboxState,
    pub reason: Option<EndReason>,
    /// Public text that goes with a failure.
    pub failure: Option<String>,
    pub created_at: Time,
    pub running_since: Option<Time>,
    /// The absolute lifetime: as specified, or as it was last set, from that moment on.
    pub ttl: Option<Duration>,
    /// When the absolute lifetime ends; extending moves it.
    pub expires_at: Option<Time>,
    pub last_active_at: Time,
    /// Commands that run in it at this moment. Not recorded: only a live one can tell.
    pub running_commands: u32,
    pub ended_at: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_and_odd_environments_are_refused() {
        assert!(validate_name("name", &"x".repeat(300)).is_err());
        assert!(validate_name("name", "ok name").is_ok());
        assert!(validate_env(&BTreeMap::from([("A=B".into(), String::new())])).is_err());
        let long = |bytes| validate_env(&BTreeMap::from([("A".into(), "x".repeat(bytes))]));
        assert!(long(131_069).is_ok() && long(131_070).is_err());
        assert!(validate_path("workdir", "relative").is_err());
    }
}
