//! Code contexts and runs of code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::word::words;

words! {
    /// What a context understands.
    CodeLanguage {
        Python = "python",
        Javascript = "javascript",
        Typescript = "typescript",
    }
}

words! {
    /// Where a run is in its life.
    CodeRunState {
        /// It waits for earlier runs of its context.
        Queued = "queued",
        Running = "running",
        Succeeded = "succeeded",
        /// The code raised, or did not compile.
        Failed = "failed",
        Interrupted = "interrupted",
        TimedOut = "timed_out",
        /// The interpreter died of it.
        Died = "died",
        /// The sandbox's processes are gone; nobody knows how far it came.
        Lost = "lost",
    }
}

/// A new code context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateCodeContext {
    pub language: CodeLanguage,
    /// Where code begins; the sandbox's working directory when absent, and relative to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// For runs that name none: 1 to 600000, 60000 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The context ends when it is unused for so long: 60000 to 604800000, 4 hours when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
}

/// An interpreter in a sandbox that keeps its variables from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeContext {
    pub id: String,
    pub sandbox_id: String,
    pub project_id: String,
    pub language: CodeLanguage,
    pub cwd: String,
    pub timeout_ms: u64,
    pub idle_timeout_ms: u64,
    /// Runs that name no context take this one.
    pub is_default: bool,
    /// Counts the interpreters it has had, beside those that the first replaced by itself.
    pub generation: u32,
    pub created_at: String,
    pub last_used_at: String,
    /// When it ends unless it is used before.
    pub expires_at: String,
}

/// All contexts of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeContextList {
    pub contexts: Vec<CodeContext>,
}

/// Code to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunCode {
    /// At most 256 KiB.
    pub code: String,
    /// The context's when absent; python without a context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<CodeLanguage>,
    /// The language's default context when absent, made where there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// For this run alone, relative to the context's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// From when it is accepted: 1 to 600000, the context's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// A run of code with everything it told until now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeRun {
    /// A run is a command, so this is a command's id.
    pub id: String,
    pub sandbox_id: String,
    pub context_id: String,
    pub language: CodeLanguage,
    pub state: CodeRunState,
    /// Counts the runs of the interpreter, from 1; `null` for one that never began.
    pub execution_count: Option<u32>,
    /// It began in a fresh interpreter: variables of earlier runs were gone.
    pub restarted: bool,
    /// Whether its variables are there for the next run; `null` while it runs.
    pub state_kept: Option<bool>,
    /// In order, in the pieces in which it came. Bytes that are no UTF-8 are shown as U+FFFD.
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// The run wrote more than 8 MiB to both; the rest was dropped.
    pub truncated: bool,
    pub outputs: Vec<CodeOutput>,
    pub error: Option<CodeError>,
    pub duration_ms: Option<f64>,
    pub created_at: String,
    pub ended_at: Option<String>,
}

/// A value in every form it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeOutput {
    /// By media type: text; base64 of binary forms such as `image/png`; JSON of `application/json`.
    pub data: BTreeMap<String, Value>,
    /// Forms that were cut to 1 MiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<String>,
    /// Forms that are over their bound, or could not be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedForm>,
    /// The value of the last expression, not one that was displayed.
    pub is_result: bool,
}

/// A form of an output that is not there, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectedForm {
    pub format: String,
    pub reason: String,
}

/// What the code raised, or why it could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeError {
    pub name: String,
    pub message: String,
    /// With the frames of the code alone; may be empty.
    pub traceback: String,
}

/// One thing that happened in a run. As a server-sent event, `event:` is the type, `id:` the seq and
/// `data:` this object. Sequence numbers begin at 1 and have no gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CodeEvent {
    /// The code began.
    Begun {
        seq: u64,
        execution_count: u32,
        restarted: bool,
    },
    Stdout {
        seq: u64,
        data: String,
    },
    Stderr {
        seq: u64,
        data: String,
    },
    /// What the run writes from here on is dropped.
    Truncated {
        seq: u64,
    },
    Output {
        seq: u64,
        output: CodeOutput,
    },
    Error {
        seq: u64,
        error: CodeError,
    },
    /// The last one, with the whole run.
    Complete {
        seq: u64,
        run: Box<CodeRun>,
    },
}

impl CodeEvent {
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Begun { seq, .. }
            | Self::Stdout { seq, .. }
            | Self::Stderr { seq, .. }
            | Self::Truncated { seq }
            | Self::Output { seq, .. }
            | Self::Error { seq, .. }
            | Self::Complete { seq, .. } => *seq,
        }
    }

    /// The name of its server-sent event. `raised` instead of `error`, which on every stream is a
    /// failure of the server.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Stdout { .. } => "stdout",
            Self::Stderr { .. } => "stderr",
            Self::Truncated { .. } => "truncated",
            Self::Output { .. } => "output",
            Self::Error { .. } => "raised",
            Self::Complete { .. } => "complete",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct CodeEventsQuery {
    /// Only events after this one. The header `Last-Event-ID` says the same and wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
}
