//! A command: one process invocation in a sandbox.
//!
//! ```text
//! queued -> starting -> running -> exited(code|signal) | cancelled | timed_out | killed | lost
//! ```
//! A program that cannot be started at all ends as `exited` with the code a shell gives (127 not
//! found, 126 not executable) and says why on its stderr.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Time;
use crate::collect::Collect;
use crate::error::{Error, Result};
use crate::id::{CodeContextId, CommandId, ProjectId, SandboxId};
use crate::limits;
use crate::sandbox::validate_env;
use crate::secret_env::SecretEnv;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program found through the command's own PATH, and its arguments.
    Argv(Vec<String>),
    /// A line for `bash -c`, or `sh -c` where the image has no bash.
    Shell(String),
}

/// What the command reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe that stays open, also across a server restart, until it is closed by request.
    Open,
}

/// Bytes that stdin begins with. They are held until the command has them; a record names them by
/// their hash alone, so two are equal when their hashes are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Input {
    /// SHA-256 in hex.
    sha256: String,
    /// Empty in what was read from a record.
    #[serde(skip)]
    bytes: Arc<[u8]>,
}

impl Input {
    /// Fails where `bytes` are more than [`limits::STDIN_DATA_MAX_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        if bytes.len() > limits::STDIN_DATA_MAX_BYTES {
            return Err(Error::invalid(
                "stdin_data",
                format!(
                    "stdin_data is {} bytes, at most {} fit; start the command with an open stdin \
                     and write more to it, or write a file",
                    bytes.len(),
                    limits::STDIN_DATA_MAX_BYTES
                ),
            ));
        }
        let sha256 = Sha256::digest(&bytes);
        Ok(Self {
            sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes: bytes.into(),
        })
    }

    /// The bytes, taken out: from here on this only names them.
    pub fn take(&mut self) -> Arc<[u8]> {
        std::mem::take(&mut self.bytes)
    }

    /// Whether these are the bytes that it names.
    #[must_use]
    pub fn names(&self, bytes: &[u8]) -> bool {
        Self::new(bytes.to_vec()).is_ok_and(|other| other == *self)
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for Input {}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub cols: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { rows: 24, cols: 80 }
    }
}

/// What becomes of a command that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attendance {
    /// It runs on.
    #[default]
    Free,
    /// Everything it started is killed: it belongs to the one who waits, and to no later server.
    Attended,
}

impl Attendance {
    fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

/// Everything that decides what a command does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    pub program: Program,
    /// `None`: the sandbox's working directory. Relative paths are taken from it.
    pub cwd: Option<String>,
    /// Over the image's and the sandbox's environment.
    pub env: BTreeMap<String, String>,
    /// Over `env`; the values are for the process only and are recorded nowhere.
    #[serde(default, skip_serializing_if = "SecretEnv::is_empty")]
    pub secret_env: SecretEnv,
    pub user: Option<String>,
    pub stdin: StdinMode,
    /// Given to stdin with the start, whole and once whatever dies in between. Where `stdin` is not
    /// open, its end comes behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// With a terminal, stdout and stderr are one stream (stdout).
    pub tty: Option<WindowSize>,
    /// From start; then KILL to everything the command started.
    pub timeout: Option<Duration>,
    /// Output kept; the rest is dropped behind a visible `truncated` record.
    pub output_cap_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Attendance::is_free")]
    pub attendance: Attendance,
    /// What is kept of its sandbox's files when it has ended, where somebody waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect: Option<Collect>,
}

impl CommandSpec {
    #[must_use]
    pub fn new(program: Program) -> Self {
        Self {
            program,
            cwd: None,
            env: BTreeMap::new(),
            secret_env: SecretEnv::default(),
            user: None,
            stdin: StdinMode::Null,
            input: None,
            tty: None,
            timeout: None,
            output_cap_bytes: None,
            attendance: Attendance::Free,
            collect: None,
        }
    }

    pub fn validate(&self) -> Result<()> {
        let (field, texts): (_, Vec<&str>) = match &self.program {
            Program::Argv(argv) if argv.first().is_none_or(String::is_empty) => {
                return Err(Error::invalid("argv", "argv must name a program"));
            }
            Program::Argv(argv) => ("argv", argv.iter().map(String::as_str).collect()),
            Program::Shell(line) if line.trim().is_empty() => {
                return Err(Error::invalid("shell", "the line must not be empty"));
            }
            Program::Shell(line) => ("shell", vec![line]),
        };
        if texts.iter().any(|t| t.contains('\0')) {
            return Err(Error::invalid(field, "no argument may hold a NUL byte"));
        }
        self.collect.as_ref().map_or(Ok(()), Collect::validate)?;
        validate_env(&self.env)?;
        validate_env(self.secret_env.values())?;
        let env = self.env.iter().chain(self.secret_env.values());
        let env_bytes = env.map(|(k, v)| k.len() + v.len() + 2);
        let bytes = texts
            .iter()
            .map(|t| t.len() + 1)
            .chain(env_bytes)
            .sum::<usize>();
        if bytes > limits::COMMAND_MAX_BYTES {
            return Err(Error::invalid(
                field,
                format!(
                    "arguments and environment are {bytes} bytes, at most {} fit; write long input \
                     to a file or to stdin",
                    limits::COMMAND_MAX_BYTES
                ),
            ));
        }
        if self
            .timeout
            .is_some_and(|t| t.is_zero() || t > limits::COMMAND_TIMEOUT_MAX)
        {
            return Err(Error::invalid(
                "timeout_ms",
                "timeout_ms must be from 1 ms to 7 days",
            ));
        }
        if self
            .tty
            .is_some_and(|size| size.rows == 0 || size.cols == 0)
        {
            return Err(Error::invalid(
                "tty",
                "a terminal has at least one row and one column",
            ));
        }
        Ok(())
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl ExitStatus {
    /// The code a shell shows: 128 + n for signal n.
    #[must_use]
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// Where a command is in its life. Only states that a process really ended in carry a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    Queued,
    Starting,
    Running,
    Exited(ExitStatus),
    /// Ended after a cancel, with how it really ended.
    Cancelled(ExitStatus),
    TimedOut(ExitStatus),
    /// Its sandbox was destroyed under it, and every process with that.
    Killed,
    /// The guest is gone; nobody knows how the command ended, and nobody says so.
    Lost,
}

impl CommandState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Exited(_) => "exited",
            Self::Cancelled(_) => "cancelled",
            Self::TimedOut(_) => "timed_out",
            Self::Killed => "killed",
            Self::Lost => "lost",
        }
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Exited(_) | Self::Cancelled(_) | Self::TimedOut(_) | Self::Killed | Self::Lost
        )
    }

    #[must_use]
    pub const fn exit_status(self) -> Option<ExitStatus> {
        match self {
            Self::Exited(status) | Self::Cancelled(status) | Self::TimedOut(status) => Some(status),
            _ => None,
        }
    }

    /// Whether `next` may follow. An ending never changes, save that repeating it is harmless.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (a, b) if a == b => true,
            (a, _) if a.is_terminal() => false,
            (Self::Queued, Self::Starting) => true,
            (Self::Queued | Self::Starting, Self::Running) => true,
            (_, b) => b.is_terminal(),
        }
    }
}

/// How to end a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// TERM to everything it started.
    Graceful,
    /// KILL to everything it started.
    Force,
}

/// Why a command is there. What the engine starts for its own ends is in no list of commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Somebody asked for it.
    #[default]
    Command,
    /// The interpreter of a code context. By itself it keeps no sandbox in use.
    Interpreter(CodeContextId),
    /// One run of code in a context.
    CodeRun(CodeContextId),
}

impl Purpose {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Interpreter(_) => "interpreter",
            Self::CodeRun(_) => "code_run",
        }
    }

    #[must_use]
    pub const fn context(&self) -> Option<&CodeContextId> {
        match self {
            Self::Command => None,
            Self::Interpreter(context) | Self::CodeRun(context) => Some(context),
        }
    }
}

/// A command as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub id: CommandId,
    pub sandbox: SandboxId,
    pub project: ProjectId,
    pub purpose: Purpose,
    pub spec: CommandSpec,
    pub state: CommandState,
    /// A cancel was asked for; how the command ended stands in `state`.
    pub cancel: Option<CancelMode>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    /// The last record of the journal at the moment the command ended.
    pub last_seq: Option<u64>,
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = CommandState> {
        let status = prop_oneof![
            any::<u8>().prop_map(|c| ExitStatus::Code(c.into())),
            (1..64i32).prop_map(ExitStatus::Signal)
        ];
        prop_oneof![
            Just(CommandState::Queued),
            Just(CommandState::Starting),
            Just(CommandState::Running),
            Just(CommandState::Killed),
            Just(CommandState::Lost),
            status.clone().prop_map(CommandState::Exited),
            status.clone().prop_map(CommandState::Cancelled),
            status.prop_map(CommandState::TimedOut),
        ]
    }

    proptest! {
        #[test]
        fn an_ending_never_changes(a in state(), b in state()) {
            if a.is_terminal() && a != b {
                prop_assert!(!a.may_become(b));
            }
        }

        #[test]
        fn no_command_goes_back(a in state(), b in state()) {
            let rank = |s: CommandState| match s {
                CommandState::Queued => 0,
                CommandState::Starting => 1,
                CommandState::Running => 2,
                _ => 3,
            };
            if a.may_become(b) {
                prop_assert!(rank(a) <= rank(b));
            }
        }
    }

    #[test]
    fn empty_and_oversized_commands_are_refused() {
        assert!(CommandSpec::new(Program::Argv(vec![])).validate().is_err());
        assert!(
            CommandSpec::new(Program::Shell("  ".into()))
                .validate()
                .is_err()
        );
        let big = "x".repeat(limits::COMMAND_MAX_BYTES);
        assert!(CommandSpec::new(Program::Shell(big)).validate().is_err());
        assert!(
            CommandSpec::new(Program::Shell("true".into()))
                .validate()
                .is_ok()
        );
    }
}
