//! Executions, and files of a devbox.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct Execute {
    pub(in crate::runloop) command: String,
    pub(in crate::runloop) command_id: Option<String>,
    pub(in crate::runloop) optimistic_timeout: Option<f64>,
    #[serde(default)]
    pub(in crate::runloop) attach_stdin: Option<bool>,
    pub(in crate::runloop) shell_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ExecutionQuery {
    pub(in crate::runloop) last_n: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct Offset {
    /// May be there and empty.
    pub(in crate::runloop) offset: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct SendStdIn {
    pub(in crate::runloop) text: Option<String>,
    pub(in crate::runloop) signal: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SentStdIn {
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) execution_id: String,
    pub(in crate::runloop) success: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Execution {
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) execution_id: String,
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) exit_status: Option<i32>,
    pub(in crate::runloop) stdout: Option<String>,
    pub(in crate::runloop) stderr: Option<String>,
    pub(in crate::runloop) stdout_truncated: Option<bool>,
    pub(in crate::runloop) stderr_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) shell_name: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SyncExecution {
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) exit_status: i32,
    pub(in crate::runloop) stdout: String,
    pub(in crate::runloop) stderr: String,
}

/// An event of a stream.
#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Update {
    pub(in crate::runloop) output: String,
    /// Bytes of the stream up to the end of `output`.
    pub(in crate::runloop) offset: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct WriteFile {
    pub(in crate::runloop) file_path: String,
    pub(in crate::runloop) contents: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct FilePath {
    /// Of reading.
    pub(in crate::runloop) file_path: Option<String>,
    /// Of downloading.
    pub(in crate::runloop) path: Option<String>,
}
