//! Logs of a devbox.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct LogsQuery {
    pub(in crate::runloop) execution_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Logs {
    pub(in crate::runloop) logs: Vec<Log>,
}

/// One of four: a command that begins, what it wrote, its end, or why the devbox failed.
#[derive(Debug, Default, Serialize)]
pub(in crate::runloop) struct Log {
    pub(in crate::runloop) level: &'static str,
    pub(in crate::runloop) source: &'static str,
    pub(in crate::runloop) timestamp_ms: i64,
    pub(in crate::runloop) cmd_id: Option<String>,
    pub(in crate::runloop) cmd: Option<String>,
    pub(in crate::runloop) message: Option<String>,
    pub(in crate::runloop) exit_code: Option<i32>,
}
