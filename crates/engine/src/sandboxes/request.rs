//! What a caller asks for when creating a sandbox. What it leaves out comes from the template, then
//! from the defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::sandbox::{HostMount, IdleAction, SandboxExtras};
use pinfold_model::{
    Credential, ImageId, NetworkMode, NetworkPolicy, ProjectId, SandboxId, SecretEnv,
    TemplateVersionId, TunnelSpec,
};
use serde::Serialize;

use crate::WantedGateway;

/// A request for a sandbox.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateSandbox {
    pub name: Option<String>,
    /// `None`: the caller's own. Another one of the org takes a key with the role admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    pub from: ImageOrTemplate,
    pub vcpu_millis: Option<u32>,
    pub memory_mib: Option<u32>,
    pub disk_mib: Option<u32>,
    pub pids: Option<u32>,
    pub network: Option<NetworkMode>,
    /// Given without `network`, it means the mode `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// The id of a policy of the project to follow, or its name where no other has that; instead of
    /// rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_id: Option<String>,
    /// Over the template's.
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub hostname: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub ttl: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    pub idle_action: Option<IdleAction>,
    /// Refused unless the operator allows them.
    pub mounts: Vec<HostMount>,
    /// `None`: none, or those of the sandbox that it is a fork of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<Credential>>,
    /// Places outside that it may call, without the secrets that go with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<WantedGateway>,
    /// Of a fork: what its original has is on its disk, and not done again.
    #[serde(skip_serializing_if = "SandboxExtras::is_usual")]
    pub more: SandboxExtras,
    /// Environment of commands of the setup that run once, by their place among those; kept sealed, and
    /// no longer than the setup takes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub setup_secrets: BTreeMap<usize, SecretEnv>,
    /// Made together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelSpec>,
    /// No part of what is asked for, so it does not count for idempotency.
    #[serde(skip)]
    pub wait: Wait,
}

/// A change of what people say about a sandbox; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeSandbox {
    pub name: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What it boots from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageOrTemplate {
    /// The operator's default image.
    #[default]
    Default,
    /// `NAME`, `NAME:TAG` or an image id.
    Image(String),
    /// A template of this name (its latest version), else an image as above.
    Named(String),
    Template {
        /// Name or id, or the id of one version.
        template: String,
        /// `None`: the latest.
        version: Option<u32>,
    },
    /// One immutable version of a template, by its id.
    TemplateVersion(TemplateVersionId),
    /// A snapshot that was described. Where nothing else is asked for it reaches what the sandbox
    /// could that it is of.
    Snapshot(ImageId),
    /// What this sandbox of the same project has on its disk when the new one boots. Whatever is not
    /// asked for is as it is there, but for name, hostname and metadata; its processes are not copied.
    Sandbox(SandboxId),
}

/// When to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// As soon as it is accepted.
    No,
    /// When it runs or has failed.
    #[default]
    Running,
}
