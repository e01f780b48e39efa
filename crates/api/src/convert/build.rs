//! Builds: wire <-> domain.

use std::time::Duration;

use pinfold_engine as engine;
use pinfold_model::build::{BuildCache, BuildState, BuildStep};
use pinfold_model::journal::Stream;
use pinfold_model::pipeline::StepState;
use pinfold_model::{Code, Error, ObjectId, Result, SecretEnv};
use pinfold_wire as wire;

use super::quantity::{millis, time, vcpu_millis};
use super::sandbox;

pub(crate) fn from_wire(request: wire::CreateBuild) -> Result<engine::CreateBuild> {
    Ok(engine::CreateBuild {
        context: request.context_id.map(|id| context(&id)).transpose()?,
        target: request.target,
        args: request.args,
        secrets: SecretEnv::new(request.secrets),
        setup: request.setup,
        setup_user: request.setup_user,
        files: request.files,
        labels: request.labels,
        cache: match request.no_cache {
            true => BuildCache::Ignore,
            false => BuildCache::Use,
        },
        vcpu_millis: request.vcpu.map(vcpu_millis).transpose()?,
        memory_mib: request.memory_mib,
        disk_mib: request.disk_mib,
        pids: request.pids,
        network: request.network.map(sandbox::from_network).transpose()?,
        network_policy: request
            .network_policy
            .map(sandbox::from_policy)
            .transpose()?,
        network_policy_id: request.network_policy_id,
        timeout: request.timeout_ms.map(Duration::from_millis),
        ..engine::CreateBuild::new(request.name.parse()?, request.dockerfile)
    })
}

fn context(id: &str) -> Result<ObjectId> {
    let unknown = |_| Error::new(Code::ObjectNotFound, format!("there is no object {id:?}"));
    id.parse().map_err(unknown)
}

pub(crate) fn from_state(state: wire::BuildState) -> Result<BuildState> {
    // A word the wire does not know is one the domain does not, either.
    state.as_str().parse()
}

/// A build with its steps.
pub(crate) fn build(build: pinfold_model::Build) -> wire::Build {
    let steps = build.steps.iter().enumerate();
    let steps = steps.map(|(index, it)| step(index, it)).collect();
    wire::Build {
        steps,
        ..summary(build)
    }
}

/// A build without its steps, for lists.
pub(crate) fn summary(build: pinfold_model::Build) -> wire::Build {
    wire::Build {
        id: build.id.into(),
        project_id: build.project.into(),
        name: build.spec.name.into(),
        state: match build.state {
            BuildState::Queued => wire::BuildState::Queued,
            BuildState::Building => wire::BuildState::Building,
            BuildState::Complete => wire::BuildState::Complete,
            BuildState::Failed => wire::BuildState::Failed,
        },
        target: build.spec.target,
        context_id: build.spec.context.map(Into::into),
        image_id: build.image.map(Into::into),
        failure: build.failure.map(|failure| wire::BuildFailure {
            code: failure.fault.as_str().to_owned(),
            message: failure.message,
            step: failure.step.map(count),
        }),
        warnings: build.warnings,
        step_count: count(build.steps.len()),
        cached_count: count(build.steps.iter().filter(|step| step.cached).count()),
        steps: Vec::new(),
        cancel_requested: build.cancel,
        timeout_ms: millis(build.spec.timeout),
        created_at: time(build.created_at),
        started_at: build.started_at.map(time),
        ended_at: build.ended_at.map(time),
    }
}

pub(crate) fn event(seq: u64, event: engine::BuildEvent) -> wire::BuildEvent {
    match event {
        engine::BuildEvent::StepStarted { step, what } => wire::BuildEvent::StepStarted {
            seq,
            step: count(step),
            text: what.text,
        },
        engine::BuildEvent::Output {
            step,
            time: at,
            stream,
            bytes,
        } => {
            let (encoding, data) = wire::Encoding::encode(bytes);
            wire::BuildEvent::Output {
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
        engine::BuildEvent::Truncated { step } => wire::BuildEvent::Truncated {
            seq,
            step: count(step),
        },
        engine::BuildEvent::StepEnded {
            step: index,
            result,
        } => wire::BuildEvent::StepEnded {
            seq,
            step: count(index),
            result: step(index, &result),
        },
        engine::BuildEvent::Ended(ended) => wire::BuildEvent::Ended {
            seq,
            build: Box::new(build(*ended)),
        },
    }
}

fn step(index: usize, step: &BuildStep) -> wire::BuildStep {
    let run = &step.run;
    wire::BuildStep {
        index: count(index),
        stage: step.stage.clone(),
        line: step.line.map(count),
        text: step.text.clone(),
        state: match run.state {
            StepState::Pending => wire::PipelineStepState::Pending,
            StepState::Running => wire::PipelineStepState::Running,
            StepState::Passed => wire::PipelineStepState::Passed,
            StepState::Failed => wire::PipelineStepState::Failed,
            StepState::Skipped => wire::PipelineStepState::Skipped,
        },
        cached: step.cached,
        exit_code: run.exit_code,
        command_id: run.command.clone().map(Into::into),
        started_at: run.started_at.map(time),
        ended_at: run.ended_at.map(time),
    }
}

/// Steps are some thousands at most.
fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
