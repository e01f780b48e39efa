//! Commands and what they write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct RunCommand {
    pub(in crate::crownest) command: String,
    pub(in crate::crownest) cwd: Option<String>,
    pub(in crate::crownest) env: Option<BTreeMap<String, String>>,
    pub(in crate::crownest) timeout_ms: Option<i64>,
    pub(in crate::crownest) collect: Option<Vec<Collect>>,
    pub(in crate::crownest) collect_on: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct Collect {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::crownest) struct CancelCommand {
    pub(in crate::crownest) mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Logs {
    pub(in crate::crownest) after_seq: Option<u64>,
    pub(in crate::crownest) limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Command {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) sandbox_id: String,
    pub(in crate::crownest) command: String,
    pub(in crate::crownest) cwd: String,
    pub(in crate::crownest) env: BTreeMap<String, String>,
    pub(in crate::crownest) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) stdout_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) stderr_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) cancel_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) canceled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) termination_signal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) killed_reason: Option<&'static str>,
    pub(in crate::crownest) collect_status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::crownest) collect_errors: Vec<CollectError>,
}

#[derive(Debug, Serialize)]
pub(in crate::crownest) struct CollectError {
    pub(in crate::crownest) code: &'static str,
    pub(in crate::crownest) message: String,
    pub(in crate::crownest) path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct LogChunk {
    pub(in crate::crownest) command_id: String,
    pub(in crate::crownest) created_at: String,
    pub(in crate::crownest) data: String,
    pub(in crate::crownest) seq: u64,
    pub(in crate::crownest) stream: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct LogPage {
    pub(in crate::crownest) data: Vec<LogChunk>,
    pub(in crate::crownest) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) next_seq: Option<u64>,
}

/// One event of a command's stream.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(in crate::crownest) enum StreamEvent {
    Log {
        created_at: String,
        data: String,
        seq: u64,
        stream: &'static str,
    },
    Heartbeat {
        created_at: String,
    },
    Terminal {
        created_at: String,
        command: Box<Command>,
    },
    Error {
        created_at: String,
        code: &'static str,
        message: String,
    },
}
