//! Commands: starting, watching, ending them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::word::words;

words! {
    /// Where a command is in its life. `killed`: its sandbox was destroyed under it. `lost`: the
    /// guest is gone and nobody knows how it ended.
    CommandState {
        Queued = "queued",
        Starting = "starting",
        Running = "running",
        Exited = "exited",
        Cancelled = "cancelled",
        TimedOut = "timed_out",
        Killed = "killed",
        Lost = "lost",
    }
}

impl CommandState {
    /// Whether it will change no more. A word from a newer server counts as not ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Exited | Self::Cancelled | Self::TimedOut | Self::Killed | Self::Lost
        )
    }
}

words! {
    /// What a command reads.
    StdinMode {
        /// `/dev/null`.
        Null = "null",
        /// A pipe that stays open until it is closed by request.
        Open = "open",
    }
}

words! {
    /// How to end a command.
    CancelMode {
        /// TERM to everything it started.
        Graceful = "graceful",
        /// KILL to everything it started.
        Force = "force",
    }
}

/// Size of a terminal in characters, at least 1 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WindowSize {
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub rows: u16,
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub cols: u16,
}

/// What to run: exactly one of `argv` and `shell`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct StartCommand {
    /// A program and its arguments, found through the command's own PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// A line for `bash -c`, or `sh -c` where the image has no bash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// The sandbox's working directory when absent; relative paths are taken from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Over the image's and the sandbox's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A name or `uid[:gid]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `null` when absent: nothing, or `stdin_data` and then its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinMode>,
    /// What stdin begins with, 1 MiB at most: given with the start, whole and once whatever dies in
    /// between. With `"stdin": "open"` more can be written behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_data: Option<String>,
    /// How `stdin_data` holds bytes: `utf8` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_encoding: Option<Encoding>,
    /// With a terminal, stdout and stderr are one stream (stdout).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<WindowSize>,
    /// From start; then KILL to everything the command started. At most 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Output kept; the rest is dropped behind a visible `truncated` record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_cap_bytes: Option<u64>,
}

/// A command as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Command {
    pub id: String,
    pub sandbox_id: String,
    pub project_id: String,
    pub argv: Option<Vec<String>>,
    pub shell: Option<String>,
    pub cwd: Option<String>,
    pub env_names: Vec<String>,
    pub user: Option<String>,
    pub stdin: StdinMode,
    pub tty: Option<WindowSize>,
    pub timeout_ms: Option<u64>,
    pub output_cap_bytes: Option<u64>,
    pub state: CommandState,
    /// Set where the program ended by itself with a code.
    pub exit_code: Option<i32>,
    /// Set where a signal ended it.
    pub signal: Option<i32>,
    /// A cancel was asked for.
    pub cancel: Option<CancelMode>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// The last record of its journal at the moment it ended.
    pub last_seq: Option<u64>,
    /// The output cap was reached.
    pub truncated: bool,
}

impl Command {
    /// The code a shell would show: 128 + n for signal n; `None` while it runs or where it is lost.
    #[must_use]
    pub fn shell_code(&self) -> Option<i32> {
        self.exit_code.or(self.signal.map(|signal| 128 + signal))
    }
}

/// A finished command with the beginning of its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunResult {
    pub command: Command,
    /// The first 1 MiB.
    pub stdout: String,
    pub stdout_encoding: Encoding,
    /// More was written than is here; read it all from the command's output.
    pub stdout_truncated: bool,
    /// The first 1 MiB.
    pub stderr: String,
    pub stderr_encoding: Encoding,
    pub stderr_truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelCommand {
    pub mode: CancelMode,
}

/// The new size of a command's terminal.
pub type ResizeCommand = WindowSize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignalCommand {
    /// A number from 1 to 64, or a name with or without `SIG`: `INT`, `SIGHUP`, `10`.
    pub signal: String,
}

/// How long to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct WaitQuery {
    /// Answers with the command as it is after this many milliseconds, ended or not: 30000 when
    /// absent, at most 60000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(maximum = 60000))]
    pub timeout_ms: Option<u64>,
}

/// Filters of the list of a sandbox's commands, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListCommands {
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
