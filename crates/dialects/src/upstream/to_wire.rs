//! From the engine's words to the contract's answers.

use std::time::Duration;

use pinfold_engine::{RunOutput, RunReport, StepOutput};
use pinfold_model::pipeline::{RunState, Step, StepRun};
use pinfold_model::usage::UsageTotals;
use pinfold_model::{
    Command, CommandState, PipelineRun, Resources, Sandbox, SandboxId, SandboxState, Time,
};

use super::from_wire::ID_PREFIX;
use super::wire;

/// What a shell's `timeout` says.
const TIMED_OUT: i32 = 124;
/// How long one that has ended is still shown.
const ENDED_SHOWN: Duration = Duration::from_secs(600);

pub(super) fn created(sandbox: &Sandbox) -> wire::Sandbox {
    wire::Sandbox {
        // Whoever asks learns later what has become of it.
        status: "creating",
        error: None,
        ..self::sandbox(sandbox)
    }
}

pub(super) fn sandbox(sandbox: &Sandbox) -> wire::Sandbox {
    let resources = sandbox.spec.resources;
    wire::Sandbox {
        sandbox_id: id(&sandbox.id),
        status: status(sandbox.state),
        image: sandbox.spec.image_name.clone(),
        vcpu: vcpu(resources),
        memory_mib: resources.memory_mib,
        created_at: sandbox.created_at.to_string(),
        error: (sandbox.state == SandboxState::Failed).then(|| wire::Error {
            code: "sandbox_failed",
            message: why(sandbox),
        }),
    }
}

fn id(id: &SandboxId) -> String {
    let own = id.as_str().split_once('_').map_or("", |(_, own)| own);
    format!("{ID_PREFIX}{own}")
}

/// Ones made elsewhere may have parts of a CPU.
fn vcpu(resources: Resources) -> u32 {
    resources.vcpu_millis.div_ceil(1000)
}

const fn status(state: SandboxState) -> &'static str {
    match state {
        SandboxState::Creating => "creating",
        SandboxState::Running => "ready",
        SandboxState::Suspended | SandboxState::Stopped | SandboxState::Destroyed => "stopped",
        SandboxState::Failed => "failed",
    }
}

fn why(sandbox: &Sandbox) -> String {
    let failure = sandbox.failure.clone();
    failure.unwrap_or_else(|| "the sandbox has failed".to_owned())
}

/// Whether one that has ended counts as forgotten.
pub(super) fn is_forgotten(ended_at: Option<Time>, now: Time) -> bool {
    // A clock that was set back makes nobody forget.
    let over = |at: Time| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    ended_at.is_some_and(|at| over(at) > ENDED_SHOWN)
}

pub(super) fn executed(output: &RunOutput) -> wire::Executed {
    let (exit_code, duration_ms) = ending(&output.command);
    wire::Executed {
        exit_code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        duration_ms,
        timed_out: matches!(output.command.state, CommandState::TimedOut(_)),
    }
}

/// The code and the duration of a command that has ended.
pub(super) fn ending(command: &Command) -> (i32, u64) {
    let code = match command.state {
        CommandState::TimedOut(_) => TIMED_OUT,
        state => state.exit_status().map_or(-1, |status| status.shell_code()),
    };
    (code, between(command.started_at, command.ended_at))
}

fn between(from: Option<Time>, to: Option<Time>) -> u64 {
    let (Some(from), Some(to)) = (from, to) else {
        return 0;
    };
    let millis = to.duration_since(from).as_millis();
    u64::try_from(millis).unwrap_or(0)
}

pub(super) fn submitted(run: &PipelineRun) -> wire::Submitted {
    wire::Submitted {
        run_id: run.id.number(),
        status: run_status(run.state),
    }
}

pub(super) fn run(report: &RunReport, now: Time) -> wire::Run {
    let run = &report.run;
    let resources = run.spec.sandbox.resources;
    let steps = run.spec.steps.iter().zip(&run.steps).zip(&report.output);
    wire::Run {
        run_id: run.id.number(),
        status: run_status(run.state),
        step_count: run.steps.len(),
        pass_count: run.passed(),
        image: run.spec.sandbox.image_name.clone(),
        vcpu: vcpu(resources),
        memory_mib: resources.memory_mib,
        duration_ms: between(run.started_at, run.ended_at.or(Some(now))),
        error: run.failure.as_ref().map(|failure| wire::Error {
            code: failure.fault.as_str(),
            message: failure.message.clone(),
        }),
        steps: steps
            .enumerate()
            .map(|(index, ((step, result), output))| self::step(index, step, result, output, now))
            .collect(),
    }
}

fn step(index: usize, step: &Step, result: &StepRun, output: &StepOutput, now: Time) -> wire::Step {
    wire::Step {
        index,
        name: step.name.clone(),
        status: result.state.as_str(),
        exit_code: result.exit_code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout_truncated: output.stdout_truncated,
        stderr_truncated: output.stderr_truncated,
        duration_ms: between(result.started_at, result.ended_at.or(Some(now))),
    }
}

/// The vendor has no word for cancelled: such a run has failed, and its error says why.
const fn run_status(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Running => "running",
        RunState::Completed => "completed",
        RunState::Failed | RunState::Cancelled => "failed",
    }
}

pub(super) fn usage(totals: &UsageTotals) -> wire::Usage {
    wire::Usage {
        total_sessions: totals.sandboxes,
        total_vcpu_seconds: totals.vcpu_seconds,
        live_sandboxes: totals.live_sandboxes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_shown_for_ten_minutes() {
        let ended: Time = "2026-01-01T00:00:00Z".parse().expect("a time");
        for (now, forgotten) in [
            ("2025-12-31T23:00:00Z", false),
            ("2026-01-01T00:00:00Z", false),
            ("2026-01-01T00:10:00Z", false),
            ("2026-01-01T00:10:01Z", true),
            ("2027-01-01T00:00:00Z", true),
        ] {
            let now = now.parse().expect("a time");
            assert_eq!(is_forgotten(Some(ended), now), forgotten, "{now}");
        }
        assert!(!is_forgotten(None, Time::MAX), "it lives");
    }
}
