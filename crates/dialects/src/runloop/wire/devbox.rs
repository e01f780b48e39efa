//! Devboxes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BoundGateway, BoundMcp, EnableTunnel, Tunnel, WantedGateway, WantedMcps};

type Texts = BTreeMap<String, String>;

/// May hold a token, so nothing prints it.
#[derive(Default, Deserialize)]
pub(in crate::runloop) struct CreateDevbox {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) metadata: Option<Texts>,
    pub(in crate::runloop) environment_variables: Option<Texts>,
    pub(in crate::runloop) entrypoint: Option<String>,
    /// As it came: views say it again.
    pub(in crate::runloop) launch_parameters: Option<Map<String, Value>>,
    pub(in crate::runloop) mounts: Option<Vec<Mount>>,
    pub(in crate::runloop) file_mounts: Option<Texts>,
    pub(in crate::runloop) code_mounts: Option<Vec<CodeMount>>,
    pub(in crate::runloop) secrets: Option<Texts>,
    pub(in crate::runloop) blueprint_id: Option<String>,
    pub(in crate::runloop) blueprint_name: Option<String>,
    pub(in crate::runloop) snapshot_id: Option<String>,
    pub(in crate::runloop) gateways: Option<BTreeMap<String, WantedGateway>>,
    pub(in crate::runloop) mcp: Option<WantedMcps>,
    pub(in crate::runloop) tunnel: Option<EnableTunnel>,
    pub(in crate::runloop) repo_connection_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct LaunchParameters {
    pub(in crate::runloop) launch_commands: Option<Vec<String>>,
    pub(in crate::runloop) resource_size_request: Option<String>,
    pub(in crate::runloop) custom_cpu_cores: Option<f64>,
    pub(in crate::runloop) custom_gb_memory: Option<f64>,
    pub(in crate::runloop) custom_disk_size: Option<f64>,
    pub(in crate::runloop) architecture: Option<String>,
    pub(in crate::runloop) keep_alive_time_seconds: Option<u64>,
    pub(in crate::runloop) after_idle: Option<AfterIdle>,
    pub(in crate::runloop) lifecycle: Option<Lifecycle>,
    pub(in crate::runloop) user_parameters: Option<UserParameters>,
    pub(in crate::runloop) network_policy_id: Option<String>,
    pub(in crate::runloop) required_services: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct AfterIdle {
    pub(in crate::runloop) idle_time_seconds: u64,
    pub(in crate::runloop) on_idle: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct Lifecycle {
    pub(in crate::runloop) after_idle: Option<AfterIdle>,
    pub(in crate::runloop) resume_triggers: Option<Value>,
    pub(in crate::runloop) lifecycle_hooks: Option<LifecycleHooks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct LifecycleHooks {
    pub(in crate::runloop) suspend_commands: Option<Vec<String>>,
    /// For all of them together.
    pub(in crate::runloop) suspend_deadline_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct UserParameters {
    pub(in crate::runloop) username: String,
    pub(in crate::runloop) uid: u32,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(in crate::runloop) enum Mount {
    #[serde(rename = "object_mount")]
    Object {
        object_id: String,
        object_path: String,
    },
    #[serde(rename = "file_mount")]
    File { target: String, content: String },
    #[serde(rename = "code_mount")]
    Code(CodeMount),
    #[serde(rename = "agent_mount")]
    Agent {},
    #[serde(rename = "broker_mount")]
    Broker {},
}

/// May hold a token, so nothing prints it.
#[derive(Deserialize)]
pub(in crate::runloop) struct CodeMount {
    pub(in crate::runloop) repo_owner: String,
    pub(in crate::runloop) repo_name: String,
    pub(in crate::runloop) token: Option<String>,
    pub(in crate::runloop) git_ref: Option<String>,
    pub(in crate::runloop) install_command: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListDevboxes {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct UpdateDevbox {
    /// An empty one takes the name away.
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) metadata: Option<Texts>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct WaitForStatus {
    pub(in crate::runloop) statuses: Vec<String>,
    /// Newer SDKs send fractions.
    pub(in crate::runloop) timeout_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Devbox {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) end_time_ms: Option<i64>,
    pub(in crate::runloop) capabilities: [&'static str; 0],
    pub(in crate::runloop) launch_parameters: Map<String, Value>,
    pub(in crate::runloop) metadata: Texts,
    pub(in crate::runloop) state_transitions: Vec<Transition>,
    pub(in crate::runloop) blueprint_id: Option<String>,
    pub(in crate::runloop) snapshot_id: Option<String>,
    pub(in crate::runloop) failure_reason: Option<&'static str>,
    pub(in crate::runloop) shutdown_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::runloop) gateway_specs: BTreeMap<String, BoundGateway>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::runloop) mcp_specs: BTreeMap<String, BoundMcp>,
    pub(in crate::runloop) tunnel: Option<Tunnel>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
pub(in crate::runloop) struct Transition {
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) transition_time_ms: i64,
    pub(in crate::runloop) failure_reason: Option<String>,
}

/// `remaining_count` and `total_count` are not told: a page is found without counting.
#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Devboxes {
    pub(in crate::runloop) devboxes: Vec<Devbox>,
    pub(in crate::runloop) has_more: bool,
}

/// What is kept with a sandbox for its views.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct Kept {
    pub(in crate::runloop) launch_parameters: Map<String, Value>,
    pub(in crate::runloop) snapshot_id: Option<String>,
    pub(in crate::runloop) blueprint_id: Option<String>,
}

impl Kept {
    const NAME: &'static str = "runloop";

    pub(in crate::runloop) fn kept(&self) -> Texts {
        let text = serde_json::to_string(self).expect("maps and texts are plain data");
        Texts::from([(Self::NAME.to_owned(), text)])
    }

    /// Nothing of a sandbox that was made by other means.
    pub(in crate::runloop) fn of(annotations: &Texts) -> Self {
        let text = annotations.get(Self::NAME);
        let kept = text.and_then(|text| serde_json::from_str(text).ok());
        kept.unwrap_or_default()
    }
}
