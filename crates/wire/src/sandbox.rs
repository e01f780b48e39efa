//! Sandboxes: creating, changing, listing them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::{BindCredential, Credential};
use crate::word::words;

words! {
    /// Where a sandbox is in its life.
    SandboxState {
        Creating = "creating",
        Running = "running",
        /// Frozen: memory and processes kept, no CPU.
        Suspended = "suspended",
        /// Disk kept, processes gone.
        Stopped = "stopped",
        Failed = "failed",
        Destroyed = "destroyed",
    }
}

words! {
    /// Why a sandbox ended or failed.
    EndReason {
        Requested = "requested",
        TtlExpired = "ttl_expired",
        IdleExpired = "idle_expired",
        BootFailed = "boot_failed",
        Lost = "lost",
        OutOfMemory = "out_of_memory",
        /// What it was to be set up with did not fit on its disk.
        OutOfDisk = "out_of_disk",
        /// The command that it was there for has ended.
        MainExited = "main_exited",
    }
}

words! {
    /// What a sandbox may reach.
    NetworkMode {
        /// Its own loopback and nothing else.
        None = "none",
        /// The outside through NAT; not the host, not other sandboxes.
        Open = "open",
        /// What `network_policy` allows, and nothing else.
        Policy = "policy",
    }
}

words! {
    /// What happens when a sandbox has been idle for its idle timeout.
    IdleAction {
        Destroy = "destroy",
        Suspend = "suspend",
        Stop = "stop",
    }
}

/// What a sandbox in the network mode `policy` may reach. What no rule allows is denied, and a rule
/// that denies wins. A rule is a name (`example.com`), every name below one (`*.example.com`), every
/// name (`*`), an address or a network (`203.0.113.0/24`), and `:PORT` or `:FIRST-LAST` after it where
/// only some ports are meant. Each list holds at most 256.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPolicy {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

/// What a sandbox may reach from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutSandboxNetwork {
    pub mode: NetworkMode,
    /// Of the mode `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<NetworkPolicy>,
}

/// What a sandbox may reach, and what became of its tries. The counters are those of the mode
/// `policy`, since this server has known the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxNetwork {
    pub mode: NetworkMode,
    pub policy: NetworkPolicy,
    /// Connections that were made.
    pub connections: u64,
    /// Connections, and requests of HTTP, that were refused or cut.
    pub refused: u64,
    /// From the sandbox.
    pub bytes_out: u64,
    /// To the sandbox.
    pub bytes_in: u64,
    /// Questions for names.
    pub questions: u64,
    pub questions_refused: u64,
    /// The last 32 things that were refused, oldest first.
    pub last_refused: Vec<NetworkRefusal>,
}

/// Something that a network policy refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetworkRefusal {
    pub at: String,
    /// A name or an address.
    pub host: String,
    /// `null` for a question for a name.
    pub port: Option<u16>,
    /// In words.
    pub why: String,
}

/// What to create. Everything left out comes from the template if one is named, else from the
/// server's defaults (image `host`, 1 vCPU, 1024 MiB memory, 4096 MiB disk, 1024 processes, no
/// network).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CreateSandbox {
    /// For people: 1 to 100 printable characters; need not be unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `name`, `name:tag` or an image id. Not together with `template`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Name or id of a template, or the id of one of its versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The latest version when absent; not together with the id of a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<u32>,
    /// The id of a sandbox: the new one begins with what that has on its disk at this moment, and with
    /// its settings where others are not given; its processes are not copied. Not together with
    /// `image` or `template`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<String>,
    /// CPUs, in steps of 0.001: 0.05 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<f64>,
    /// 32 to 4194304.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// What the sandbox may write: 16 to 16777216.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u32>,
    /// Processes and threads: 8 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Given without `network`, it means the mode `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// The id of a network policy of the project to follow, or its name where no other has that. Not
    /// together with `network_policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_id: Option<String>,
    /// Added to the environment of every command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Default working directory of commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Default user of commands: a name or `uid[:gid]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// At most 64 keys of 128 characters with values of 4096 characters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Absolute lifetime from creation, at most 30 days; lives until destroyed when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Time without a running command, an open terminal or a file call, at most 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_action: Option<IdleAction>,
    /// Secrets that the egress proxy adds to requests on their way out, at most 32; needs the network
    /// mode `policy`. A fork that does not say has those of its original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<BindCredential>>,
    /// Answer when it runs (default), or at once with state `creating`. A missing image is pulled
    /// before either answer; start a pull to wait for that apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// A sandbox as it is now. Values of its environment are not shown, only names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sandbox {
    pub id: String,
    pub project_id: String,
    pub name: Option<String>,
    pub state: SandboxState,
    /// Why it ended or failed.
    pub reason: Option<EndReason>,
    /// In words, where it failed.
    pub failure: Option<String>,
    /// As the caller named it.
    pub image: String,
    pub image_id: String,
    /// The name of the template that it was made from.
    pub template: Option<String>,
    pub template_id: Option<String>,
    pub template_version: Option<u32>,
    pub template_version_id: Option<String>,
    /// The sandbox whose disk it began with.
    pub forked_from: Option<String>,
    pub vcpu: f64,
    pub memory_mib: u32,
    pub disk_mib: u32,
    pub pids: u32,
    pub network: NetworkMode,
    /// Of the mode `policy`.
    #[serde(default)]
    pub network_policy: Option<NetworkPolicy>,
    /// The network policy that it follows: those rules are its own as long as it does.
    #[serde(default)]
    pub network_policy_id: Option<String>,
    pub env_names: Vec<String>,
    pub workdir: String,
    pub user: String,
    pub hostname: String,
    pub metadata: BTreeMap<String, String>,
    pub ttl_ms: Option<u64>,
    pub idle_timeout_ms: Option<u64>,
    pub idle_action: IdleAction,
    /// Which secrets go with its requests to where; never their values.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    pub created_at: String,
    pub running_since: Option<String>,
    /// When the absolute lifetime ends.
    pub expires_at: Option<String>,
    pub last_active_at: String,
    pub ended_at: Option<String>,
}

/// A new absolute lifetime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtendSandbox {
    /// Counted from now; `expires_at` becomes now + this. At most 30 days.
    pub ttl_ms: u64,
}

/// Filters of the list of sandboxes. Further parameters `metadata.KEY=VALUE` keep those whose
/// metadata has exactly that value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListSandboxes {
    /// Only this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub state: Option<SandboxState>,
    /// Also destroyed ones; they are left out otherwise. Not together with `state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_ended: Option<bool>,
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Not a parameter by itself: sent as `metadata.KEY=VALUE`.
    #[serde(skip)]
    #[cfg_attr(feature = "openapi", param(ignore))]
    pub metadata: BTreeMap<String, String>,
}
