//! Runs of pipelines: wire <-> domain.

use std::time::Duration;

use pinfold_engine as engine;
use pinfold_model::Result;
use pinfold_model::journal::Stream;
use pinfold_model::pipeline::{OnFailure, RunState, Step, StepRun, StepState};
use pinfold_wire as wire;

use super::quantity::{millis, time, vcpu};
use super::sandbox;

/// The run that a request asks for.
///
/// # Errors
/// What is wrong with the document, or with the sandbox that is asked for.
pub fn from_submit(request: wire::SubmitPipeline) -> Result<engine::SubmitRun> {
    let document = engine::PipelineDocument::parse(&request.markdown)?;
    let wanted = sandbox::from_wire(request.sandbox.unwrap_or_default())?;
    let timeout = request.timeout_ms.map(Duration::from_millis);
    Ok(document.into_request(wanted, timeout))
}

pub(crate) fn from_state(state: wire::PipelineRunState) -> Result<RunState> {
    // A word the wire does not know is one the domain does not, either.
    state.as_str().parse()
}

/// A run with its steps.
pub(crate) fn run(run: pinfold_model::PipelineRun) -> wire::PipelineRun {
    let steps = run.spec.steps.iter().zip(&run.steps).enumerate();
    let steps = steps.map(|(index, (spec, result))| step(index, spec, result));
    let steps = steps.collect();
    wire::PipelineRun {
        steps,
        ..summary(run)
    }
}

/// A run without its steps, for lists.
pub(crate) fn summary(run: pinfold_model::PipelineRun) -> wire::PipelineRun {
    let passed_count = count(run.passed());
    let spec = run.spec.sandbox;
    wire::PipelineRun {
        id: run.id.number(),
        project_id: run.project.into(),
        sandbox_id: run.sandbox.into(),
        state: state(run.state),
        image: spec.image_name,
        template: spec.template.map(|origin| origin.name),
        vcpu: vcpu(spec.resources.vcpu_millis),
        memory_mib: spec.resources.memory_mib,
        timeout_ms: millis(run.spec.timeout),
        step_count: count(run.steps.len()),
        passed_count,
        steps: Vec::new(),
        failure: run.failure.map(|failure| wire::PipelineFailure {
            code: failure.fault.as_str().to_owned(),
            message: failure.message,
        }),
        cancel_requested: run.cancel,
        created_at: time(run.created_at),
        started_at: run.started_at.map(time),
        ended_at: run.ended_at.map(time),
    }
}

pub(crate) fn report(report: engine::RunReport) -> wire::PipelineReport {
    let output = report.output.into_iter().map(|output| {
        let (stdout_encoding, stdout) = wire::Encoding::encode(output.stdout);
        let (stderr_encoding, stderr) = wire::Encoding::encode(output.stderr);
        wire::StepOutput {
            stdout,
            stdout_encoding,
            stdout_truncated: output.stdout_truncated,
            stderr,
            stderr_encoding,
            stderr_truncated: output.stderr_truncated,
        }
    });
    wire::PipelineReport {
        output: output.collect(),
        run: run(report.run),
    }
}

/// What happened in a run, under its number, for a client.
#[must_use]
pub fn pipeline_event(seq: u64, event: engine::RunEvent) -> wire::PipelineEvent {
    match event {
        engine::RunEvent::StepStarted { step, name } => wire::PipelineEvent::StepStarted {
            seq,
            step: count(step),
            name,
        },
        engine::RunEvent::Output {
            step,
            time: at,
            stream,
            bytes,
        } => {
            let (encoding, data) = wire::Encoding::encode(bytes);
            wire::PipelineEvent::Output {
                seq,
                step: count(step),
                time: time(at),
                stream: match stream {
                    Stream::Stdout => wire::StreamName::Stdout,
                    Stream::Stderr => wire::StreamName::Stderr,
                },
                encoding,
                data,
            }
        }
        engine::RunEvent::Truncated { step } => wire::PipelineEvent::Truncated {
            seq,
            step: count(step),
        },
        engine::RunEvent::StepEnded {
            step: index,
            spec,
            result,
        } => wire::PipelineEvent::StepEnded {
            seq,
            step: count(index),
            result: step(index, &spec, &result),
        },
        engine::RunEvent::Ended(ended) => wire::PipelineEvent::Ended {
            seq,
            run: Box::new(run(*ended)),
        },
    }
}

fn step(index: usize, spec: &Step, result: &StepRun) -> wire::PipelineStep {
    wire::PipelineStep {
        index: count(index),
        name: spec.name.clone(),
        state: match result.state {
            StepState::Pending => wire::PipelineStepState::Pending,
            StepState::Running => wire::PipelineStepState::Running,
            StepState::Passed => wire::PipelineStepState::Passed,
            StepState::Failed => wire::PipelineStepState::Failed,
            StepState::Skipped => wire::PipelineStepState::Skipped,
        },
        exit_code: result.exit_code,
        continue_on_error: spec.on_failure == OnFailure::Continue,
        timeout_ms: spec.timeout.map(millis),
        command_id: result.command.clone().map(Into::into),
        started_at: result.started_at.map(time),
        ended_at: result.ended_at.map(time),
    }
}

fn state(state: RunState) -> wire::PipelineRunState {
    match state {
        RunState::Queued => wire::PipelineRunState::Queued,
        RunState::Running => wire::PipelineRunState::Running,
        RunState::Completed => wire::PipelineRunState::Completed,
        RunState::Failed => wire::PipelineRunState::Failed,
        RunState::Cancelled => wire::PipelineRunState::Cancelled,
    }
}

/// Steps are a thousand at most.
fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
