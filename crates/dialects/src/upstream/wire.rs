//! Requests and responses of the contract. Unknown fields of requests are refused by name.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub(super) struct ErrorEnvelope {
    pub(super) error: Error,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Error {
    pub(super) code: &'static str,
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateSandbox {
    pub(super) image: Option<String>,
    /// Whole CPUs. Wider than the bound, so that what is outside is named as such.
    pub(super) vcpu: Option<i64>,
    pub(super) memory_mib: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sandbox {
    pub(super) sandbox_id: String,
    pub(super) status: &'static str,
    pub(super) image: String,
    pub(super) vcpu: u32,
    pub(super) memory_mib: u32,
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Error>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sandboxes {
    pub(super) sandboxes: Vec<Sandbox>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    pub(super) command: Vec<String>,
    #[serde(default)]
    pub(super) timeout_s: Option<f64>,
    #[serde(default)]
    pub(super) stream: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Executed {
    pub(super) exit_code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) duration_ms: u64,
    pub(super) timed_out: bool,
}

/// Data of the events `stdout` and `stderr`.
#[derive(Debug, Serialize)]
pub(super) struct Text {
    pub(super) text: String,
}

/// Data of the event `exit`.
#[derive(Debug, Serialize)]
pub(super) struct Exit {
    pub(super) exit_code: i32,
    pub(super) duration_ms: u64,
}

/// Data of the event `error`.
#[derive(Debug, Serialize)]
pub(super) struct StreamError {
    #[serde(flatten)]
    pub(super) error: Error,
    pub(super) status: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitRun {
    pub(super) markdown: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Submitted {
    pub(super) run_id: u64,
    pub(super) status: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) run_id: u64,
    pub(super) status: &'static str,
    pub(super) step_count: usize,
    pub(super) pass_count: usize,
    pub(super) image: String,
    pub(super) vcpu: u32,
    pub(super) memory_mib: u32,
    pub(super) duration_ms: u64,
    pub(super) error: Option<Error>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) exit_code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// More was written than is shown, or it is no longer kept. Only then are these there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stdout_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stderr_truncated: bool,
    pub(super) duration_ms: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Usage {
    pub(super) total_sessions: u64,
    pub(super) total_vcpu_seconds: f64,
    pub(super) live_sandboxes: u64,
}
