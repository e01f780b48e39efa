//! Runs of pipelines: the steps of a markdown document, one after the other in one fresh sandbox.

use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::journal::StreamName;
use crate::sandbox::CreateSandbox;
use crate::word::words;

words! {
    /// Where a run is in its life.
    PipelineRunState {
        /// Accepted; its sandbox is not there yet.
        Queued = "queued",
        Running = "running",
        /// No step failed, save those that may.
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl PipelineRunState {
    /// Whether it will change no more. A word from a newer server counts as not ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// Where a step is in its life.
    PipelineStepState {
        Pending = "pending",
        Running = "running",
        /// It ended with code 0.
        Passed = "passed",
        Failed = "failed",
        /// The run ended before it.
        Skipped = "skipped",
    }
}

/// A pipeline to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitPipeline {
    /// The document: its fenced `bash` blocks are the steps, 1 to 1000; at most 1 MiB.
    pub markdown: String,
    /// Of the whole run from its submission, 1 to 86400000; the document's when absent, else 24
    /// hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The sandbox it runs in, which is destroyed at its end. What is said here wins over the
    /// document; commands begin in `/workspace` when `workdir` is absent, and `wait` means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<CreateSandbox>,
}

/// A run as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineRun {
    /// Unique in an installation; later runs have larger ones.
    pub id: u64,
    pub project_id: String,
    /// Fixed before the sandbox is made; gone when the run has ended.
    pub sandbox_id: String,
    pub state: PipelineRunState,
    /// As the document or the caller named it, or what the template boots.
    pub image: String,
    /// The name of the template that the sandbox was made from.
    pub template: Option<String>,
    pub vcpu: f64,
    pub memory_mib: u32,
    pub timeout_ms: u64,
    pub step_count: u32,
    pub passed_count: u32,
    /// As many as `step_count`, in order; left out in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PipelineStep>,
    /// What ended the run, where that was no step.
    pub failure: Option<PipelineFailure>,
    /// A cancel was asked for.
    pub cancel_requested: bool,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

/// What ended a run other than a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineFailure {
    /// `cancelled`, or the code of an error: `timeout`, `sandbox_failed`, `sandbox_gone`,
    /// `quota_exceeded`, `internal`.
    pub code: String,
    pub message: String,
}

/// One step of a run as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineStep {
    /// From 0.
    pub index: u32,
    pub name: String,
    pub state: PipelineStepState,
    /// As a shell shows it: 128 and the signal where one ended it, 124 where its time ran out;
    /// `null` where it has not ended or nobody knows.
    pub exit_code: Option<i32>,
    /// The run goes on when it fails.
    pub continue_on_error: bool,
    pub timeout_ms: Option<u64>,
    /// What it runs as; output is read there as of any command, while it is kept.
    pub command_id: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

/// A run with the beginning of what its steps wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineReport {
    pub run: PipelineRun,
    /// As many as the run has steps; empty for those that have not ended.
    pub output: Vec<StepOutput>,
}

/// The beginning of both streams of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepOutput {
    pub stdout: String,
    pub stdout_encoding: Encoding,
    /// More was written than is here.
    pub stdout_truncated: bool,
    pub stderr: String,
    pub stderr_encoding: Encoding,
    pub stderr_truncated: bool,
}

/// One thing that happened in a run. As a server-sent event, `event:` is the type, `id:` the seq and
/// `data:` this object. Sequence numbers grow and have gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PipelineEvent {
    StepStarted {
        seq: u64,
        /// From 0.
        step: u32,
        name: String,
    },
    Output {
        seq: u64,
        step: u32,
        time: String,
        stream: StreamName,
        encoding: Encoding,
        data: String,
    },
    /// What the step wrote after this was not kept.
    Truncated { seq: u64, step: u32 },
    /// It passed, failed, or was skipped without having started.
    StepEnded {
        seq: u64,
        step: u32,
        result: PipelineStep,
    },
    /// The last one, with the whole run.
    Ended { seq: u64, run: Box<PipelineRun> },
}

impl PipelineEvent {
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::StepStarted { seq, .. }
            | Self::Output { seq, .. }
            | Self::Truncated { seq, .. }
            | Self::StepEnded { seq, .. }
            | Self::Ended { seq, .. } => *seq,
        }
    }

    /// The name of its server-sent event.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::StepStarted { .. } => "step_started",
            Self::Output { .. } => "output",
            Self::Truncated { .. } => "truncated",
            Self::StepEnded { .. } => "step_ended",
            Self::Ended { .. } => "ended",
        }
    }
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListPipelineRuns {
    /// Only this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub state: Option<PipelineRunState>,
    /// Items at most: 1 to 50, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 50))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct PipelineReportQuery {
    /// Bytes of each stream of each step: 0 to 1048576, 65536 when absent. All steps together have
    /// 8 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(maximum = 1_048_576))]
    pub stream_bytes: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct PipelineEventsQuery {
    /// Only events after this one. The header `Last-Event-ID` says the same and wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_type_beside_its_fields() {
        let event = PipelineEvent::StepStarted {
            seq: 1,
            step: 0,
            name: "a".into(),
        };
        let json = serde_json::to_value(&event).expect("plain data");
        assert_eq!(json["type"], event.event());
        let back: PipelineEvent = serde_json::from_value(json).expect("own form");
        assert_eq!(back, event);
    }
}
