//! Code contexts and runs: wire <-> domain.

use std::time::Duration;

use pinfold_engine as engine;
use pinfold_model::{Code, Error, Result};
use pinfold_wire as wire;

use super::quantity::{millis, time};

pub(crate) fn from_language(language: wire::CodeLanguage) -> Result<pinfold_model::CodeLanguage> {
    language.as_str().parse()
}

fn to_language(language: pinfold_model::CodeLanguage) -> wire::CodeLanguage {
    wire::CodeLanguage::from_word(language.as_str())
}

pub(crate) fn from_create(request: wire::CreateCodeContext) -> Result<engine::CreateCodeContext> {
    Ok(engine::CreateCodeContext {
        language: from_language(request.language)?,
        cwd: request.cwd,
        cwd_within: None,
        timeout: request.timeout_ms.map(Duration::from_millis),
        idle_timeout: request.idle_timeout_ms.map(Duration::from_millis),
    })
}

pub(crate) fn from_run(request: wire::RunCode) -> Result<engine::RunCode> {
    let context = request.context_id.map(|id| id.parse());
    Ok(engine::RunCode {
        code: request.code,
        language: request.language.map(from_language).transpose()?,
        context: context
            .transpose()
            .map_err(|_| Error::new(Code::CodeContextNotFound, "there is no such code context"))?,
        cwd: request.cwd,
        cwd_within: None,
        timeout: request.timeout_ms.map(Duration::from_millis),
        keeps: false,
    })
}

pub(crate) fn context(context: pinfold_model::CodeContext) -> wire::CodeContext {
    wire::CodeContext {
        id: context.id.into(),
        sandbox_id: context.sandbox.into(),
        project_id: context.project.into(),
        language: to_language(context.language),
        cwd: context.cwd,
        timeout_ms: millis(context.timeout),
        idle_timeout_ms: millis(context.idle_timeout),
        is_default: context.is_default,
        generation: context.generation,
        created_at: time(context.created_at),
        last_used_at: time(context.last_used_at),
        expires_at: time(context.expires_at),
    }
}

pub(crate) fn run(run: engine::CodeRun) -> wire::CodeRun {
    wire::CodeRun {
        id: run.id.into(),
        sandbox_id: run.sandbox.into(),
        context_id: run.context.into(),
        language: to_language(run.language),
        state: state(run.state),
        execution_count: run.execution_count,
        restarted: run.restarted,
        state_kept: run.state_kept,
        stdout: run.stdout,
        stderr: run.stderr,
        truncated: run.truncated,
        outputs: run.outputs.into_iter().map(output).collect(),
        error: run.error.map(error),
        duration_ms: run.duration.map(|took| took.as_secs_f64() * 1000.0),
        created_at: time(run.created_at),
        ended_at: run.ended_at.map(time),
    }
}

/// `Complete` needs the whole run, which only the engine has.
pub(crate) fn event(
    seq: u64,
    event: engine::CodeEvent,
    whole: impl FnOnce() -> engine::CodeRun,
) -> wire::CodeEvent {
    match event {
        engine::CodeEvent::Begun {
            execution_count,
            restarted,
        } => wire::CodeEvent::Begun {
            seq,
            execution_count,
            restarted,
        },
        engine::CodeEvent::Stdout(data) => wire::CodeEvent::Stdout { seq, data },
        engine::CodeEvent::Stderr(data) => wire::CodeEvent::Stderr { seq, data },
        engine::CodeEvent::Truncated => wire::CodeEvent::Truncated { seq },
        engine::CodeEvent::Output(shown) => wire::CodeEvent::Output {
            seq,
            output: output(shown),
        },
        engine::CodeEvent::Error(raised) => wire::CodeEvent::Error {
            seq,
            error: error(raised),
        },
        engine::CodeEvent::Complete(_) => wire::CodeEvent::Complete {
            seq,
            run: Box::new(run(whole())),
        },
    }
}

fn state(state: engine::CodeRunState) -> wire::CodeRunState {
    use engine::CodeRunState as From;
    match state {
        From::Queued => wire::CodeRunState::Queued,
        From::Running => wire::CodeRunState::Running,
        From::Succeeded => wire::CodeRunState::Succeeded,
        From::Failed => wire::CodeRunState::Failed,
        From::Interrupted => wire::CodeRunState::Interrupted,
        From::TimedOut => wire::CodeRunState::TimedOut,
        From::Died => wire::CodeRunState::Died,
        From::Lost => wire::CodeRunState::Lost,
    }
}

fn output(output: engine::CodeOutput) -> wire::CodeOutput {
    let rejected = output.rejected.into_iter();
    wire::CodeOutput {
        data: output.data,
        truncated: output.truncated,
        rejected: rejected
            .map(|form| wire::RejectedForm {
                format: form.format,
                reason: form.reason,
            })
            .collect(),
        is_result: output.is_result,
    }
}

fn error(error: engine::CodeError) -> wire::CodeError {
    wire::CodeError {
        name: error.name,
        message: error.message,
        traceback: error.traceback,
    }
}
