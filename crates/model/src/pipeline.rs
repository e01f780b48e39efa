//! A pipeline run: the steps of one document, one after the other, in one fresh sandbox.
//!
//! ```text
//! queued -> running -> completed | failed | cancelled          a run
//! pending -> running -> passed | failed                        a step
//! pending -> skipped
//! ```
//! Each step is a command with an id of its own that is recorded before the command starts, so a
//! step runs once whatever dies in between. Knows no markdown and no vendor.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{CommandId, KeyId, OrgId, ProjectId, RunId, SandboxId};
use crate::limits;
use crate::sandbox::SandboxSpec;

/// What a step that fails does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run fails, and the steps that follow are skipped.
    #[default]
    Stop,
    /// The run goes on as if nothing had happened.
    Continue,
}

/// One step: a bash script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub script: String,
    /// Past it the step is killed and has failed.
    pub timeout: Option<Duration>,
    pub on_failure: OnFailure,
}

/// Everything that decides what a run does; resolved once at submission and then immutable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub steps: Vec<Step>,
    /// Of the whole run, from its submission.
    pub timeout: Duration,
    /// The sandbox that it runs in.
    pub sandbox: SandboxSpec,
    /// The key whose quota the sandbox counts against; `None`: the process itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// Checks the part of a run that callers choose. The first fault found is the one reported.
pub fn validate_steps(steps: &[Step], timeout: Option<Duration>) -> Result<()> {
    if steps.is_empty() {
        return Err(Error::invalid(
            "steps",
            "the pipeline has no step: write a fenced code block whose language is bash",
        ));
    }
    if steps.len() > limits::PIPELINE_STEPS_MAX {
        return Err(Error::invalid(
            "steps",
            format!(
                "the pipeline has {} steps, at most {} are possible",
                steps.len(),
                limits::PIPELINE_STEPS_MAX
            ),
        ));
    }
    let timeouts = steps.iter().map(|step| step.timeout).chain([timeout]);
    for timeout in timeouts.flatten() {
        if timeout.is_zero() || timeout > limits::PIPELINE_TIMEOUT_MAX {
            return Err(Error::invalid(
                "timeout",
                "a timeout must be more than 0 and at most 24 hours",
            ));
        }
    }
    Ok(())
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted; its sandbox is not there yet.
    Queued,
    Running,
    /// No step failed, save those that may.
    Completed,
    Failed,
    Cancelled,
}

impl RunState {
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl std::str::FromStr for RunState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::invalid("state", format!("unknown state of a run {text:?}")))
    }
}

/// Where a step is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    Running,
    /// It ended with code 0.
    Passed,
    Failed,
    /// The run ended before it.
    Skipped,
}

impl StepState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Skipped)
    }
}

/// What has become of one step so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRun {
    pub state: StepState,
    /// Fixed before the command starts; its journal holds the output.
    pub command: Option<CommandId>,
    /// As a shell shows it; 124 where time ran out, `None` where nobody knows.
    pub exit_code: Option<i32>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

impl StepRun {
    #[must_use]
    pub const fn pending() -> Self {
        Self {
            state: StepState::Pending,
            command: None,
            exit_code: None,
            started_at: None,
            ended_at: None,
        }
    }
}

/// What ended a run other than a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunFault {
    Cancelled,
    /// The time of the whole run was over.
    TimedOut,
    /// The sandbox did not boot.
    SandboxFailed,
    /// The sandbox ended under the run.
    SandboxGone,
    /// The project's quota left no room for the sandbox.
    QuotaExceeded,
    Internal,
}

impl RunFault {
    /// Stable and public.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::TimedOut => Code::Timeout.as_str(),
            Self::SandboxFailed => Code::SandboxFailed.as_str(),
            Self::SandboxGone => Code::SandboxGone.as_str(),
            Self::QuotaExceeded => Code::QuotaExceeded.as_str(),
            Self::Internal => Code::Internal.as_str(),
        }
    }
}

/// A fault with its public text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    pub fault: RunFault,
    pub message: String,
}

impl RunFailure {
    #[must_use]
    pub fn new(fault: RunFault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
        }
    }
}

/// A run as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// Unique in an installation, and later ones are larger.
    pub id: RunId,
    pub org: OrgId,
    pub project: ProjectId,
    /// Fixed before the sandbox is made.
    pub sandbox: SandboxId,
    pub spec: RunSpec,
    pub state: RunState,
    /// As many as there are steps in `spec`.
    pub steps: Vec<StepRun>,
    /// `None` also where the run failed because a step did.
    pub failure: Option<RunFailure>,
    /// A cancel was asked for.
    pub cancel: bool,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

impl PipelineRun {
    #[must_use]
    pub fn passed(&self) -> usize {
        let passed = |step: &&StepRun| step.state == StepState::Passed;
        self.steps.iter().filter(passed).count()
    }

    /// Whether a step failed that stops the run.
    #[must_use]
    pub fn stopped_by_step(&self) -> bool {
        let mut steps = self.steps.iter().zip(&self.spec.steps);
        steps
            .any(|(run, step)| run.state == StepState::Failed && step.on_failure == OnFailure::Stop)
    }

    /// What the run comes to when nothing more is going to happen.
    #[must_use]
    pub fn outcome(&self) -> RunState {
        match &self.failure {
            Some(failure) if failure.fault == RunFault::Cancelled => RunState::Cancelled,
            Some(_) => RunState::Failed,
            None if self.stopped_by_step() => RunState::Failed,
            None => RunState::Completed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(timeout: Option<Duration>) -> Step {
        Step {
            name: "a".into(),
            script: "true\n".into(),
            timeout,
            on_failure: OnFailure::Stop,
        }
    }

    #[test]
    fn a_pipeline_has_steps_and_its_timeouts_make_sense() {
        assert!(validate_steps(&[], None).is_err());
        assert!(validate_steps(&[step(None)], None).is_ok());
        assert!(validate_steps(&[step(Some(Duration::ZERO))], None).is_err());
        let year = Duration::from_secs(365 * 86_400);
        assert!(validate_steps(&[step(None)], Some(year)).is_err());
        let many = vec![step(None); limits::PIPELINE_STEPS_MAX + 1];
        assert!(validate_steps(&many, None).is_err());
    }

    #[test]
    fn states_survive_their_text_form() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>().expect("own text"), state);
        }
    }
}
