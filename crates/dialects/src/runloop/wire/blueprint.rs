//! Blueprints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CodeMount;

type Texts = BTreeMap<String, String>;

/// May hold tokens, so nothing prints it.
#[derive(Deserialize)]
pub(in crate::runloop) struct CreateBlueprint {
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) dockerfile: Option<String>,
    pub(in crate::runloop) system_setup_commands: Option<Vec<String>>,
    pub(in crate::runloop) base_blueprint_id: Option<String>,
    pub(in crate::runloop) base_blueprint_name: Option<String>,
    pub(in crate::runloop) build_args: Option<Texts>,
    pub(in crate::runloop) build_context: Option<BuildContext>,
    pub(in crate::runloop) file_mounts: Option<Texts>,
    pub(in crate::runloop) metadata: Option<Texts>,
    pub(in crate::runloop) launch_parameters: Option<Map<String, Value>>,
    pub(in crate::runloop) code_mounts: Option<Vec<CodeMount>>,
    pub(in crate::runloop) secrets: Option<Texts>,
    pub(in crate::runloop) services: Option<Vec<Value>>,
    pub(in crate::runloop) network_policy_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct BuildContext {
    pub(in crate::runloop) object_id: String,
}

/// Kept with a build.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct SaidOfBlueprint {
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) metadata: Texts,
    pub(in crate::runloop) launch_parameters: Map<String, Value>,
    pub(in crate::runloop) base_blueprint_id: Option<String>,
    pub(in crate::runloop) base_blueprint_name: Option<String>,
    pub(in crate::runloop) network_policy_id: Option<String>,
    /// Lines of the set-up that come from `code_mounts`.
    pub(in crate::runloop) lines_of_code: usize,
    pub(in crate::runloop) code_mounts: Vec<SaidOfCode>,
    /// Environment variables of the build, and names of the secrets whose values they have.
    pub(in crate::runloop) secrets: Texts,
}

/// A code mount without its token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::runloop) struct SaidOfCode {
    pub(in crate::runloop) repo_owner: String,
    pub(in crate::runloop) repo_name: String,
    pub(in crate::runloop) git_ref: Option<String>,
    pub(in crate::runloop) install_command: Option<String>,
}

impl From<CodeMount> for SaidOfCode {
    fn from(mount: CodeMount) -> Self {
        Self {
            repo_owner: mount.repo_owner,
            repo_name: mount.repo_name,
            git_ref: mount.git_ref,
            install_command: mount.install_command,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListBlueprints {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) status: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Blueprint {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) parameters: BlueprintParameters,
    pub(in crate::runloop) state: &'static str,
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) failure_reason: Option<&'static str>,
    pub(in crate::runloop) build_finish_time_ms: Option<i64>,
    pub(in crate::runloop) base_blueprint_id: Option<String>,
    pub(in crate::runloop) metadata: Texts,
    pub(in crate::runloop) is_public: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BlueprintParameters {
    pub(in crate::runloop) name: String,
    /// As it is built.
    pub(in crate::runloop) dockerfile: String,
    pub(in crate::runloop) system_setup_commands: Vec<String>,
    pub(in crate::runloop) build_args: Texts,
    pub(in crate::runloop) file_mounts: Texts,
    pub(in crate::runloop) metadata: Texts,
    pub(in crate::runloop) launch_parameters: Map<String, Value>,
    pub(in crate::runloop) base_blueprint_id: Option<String>,
    pub(in crate::runloop) base_blueprint_name: Option<String>,
    pub(in crate::runloop) network_policy_id: Option<String>,
    pub(in crate::runloop) code_mounts: Vec<SaidOfCode>,
    pub(in crate::runloop) secrets: Texts,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Blueprints {
    pub(in crate::runloop) blueprints: Vec<Blueprint>,
    pub(in crate::runloop) has_more: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BlueprintPreview {
    pub(in crate::runloop) dockerfile: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BlueprintLogs {
    pub(in crate::runloop) blueprint_id: String,
    pub(in crate::runloop) logs: Vec<BlueprintLog>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BlueprintLog {
    pub(in crate::runloop) level: &'static str,
    pub(in crate::runloop) message: String,
    pub(in crate::runloop) timestamp_ms: i64,
}
