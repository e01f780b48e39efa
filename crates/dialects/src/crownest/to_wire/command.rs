//! Commands and what was collected behind them.

use std::collections::BTreeMap;

use pinfold_engine::RunOutput;
use pinfold_model::collect::{CollectFailureKind, CollectReport};
use pinfold_model::command::CancelMode;
use pinfold_model::{Command, CommandState, ExitStatus, Program, Time};

use super::file::shown_path;
use super::output::text;
use super::time;
use crate::crownest::errors::Word;
use crate::crownest::wire;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A command without what it wrote.
pub(in crate::crownest) fn command(command: Command) -> wire::Command {
    let state = command.state;
    let cancelled = matches!(state, CommandState::Cancelled(_));
    let began = command.started_at;
    let duration = began.zip(command.ended_at);
    wire::Command {
        id: command.id.into(),
        sandbox_id: command.sandbox.into(),
        command: match command.spec.program {
            Program::Shell(line) => line,
            Program::Argv(argv) => argv.join(" "),
        },
        cwd: shown_path(&command.spec.cwd.unwrap_or_default()),
        // Values are never shown, and a name without its value says nothing.
        env: BTreeMap::new(),
        status: command_status(state),
        exit_code: state.exit_status().map(ExitStatus::shell_code),
        stdout: None,
        stderr: None,
        stdout_truncated: None,
        stderr_truncated: None,
        started_at: began.map(time),
        finished_at: command.ended_at.map(time),
        duration_ms: duration.map(|(from, to)| millis_between(from, to)),
        cancel_mode: command.cancel.map(cancel_mode),
        canceled_at: command.ended_at.filter(|_| cancelled).map(time),
        termination_signal: termination_signal(state, command.cancel),
        killed_reason: (state == CommandState::Killed).then_some("sandbox_destroyed"),
        collect_status: match command.spec.collect {
            Some(_) => "pending",
            None => "not_requested",
        },
        collect_errors: Vec::new(),
    }
}

/// A command and what it wrote, once it has ended.
pub(in crate::crownest) fn command_with_output(output: RunOutput) -> wire::Command {
    let ended = output.command.state.is_terminal();
    let mut shown = command(output.command);
    if let Some(report) = output.collect {
        (shown.collect_status, shown.collect_errors) = collected(report);
    }
    if ended {
        shown.stdout = Some(text(output.stdout, output.stdout_truncated));
        shown.stderr = Some(text(output.stderr, output.stderr_truncated));
        shown.stdout_truncated = Some(output.stdout_truncated);
        shown.stderr_truncated = Some(output.stderr_truncated);
    }
    shown
}

fn collected(report: CollectReport) -> (&'static str, Vec<wire::CollectError>) {
    let (stored, failed) = match report {
        CollectReport::Skipped => return ("skipped", Vec::new()),
        CollectReport::Done { stored, failed } => (stored, failed),
    };
    let status = match (stored, failed.is_empty()) {
        (_, true) => "succeeded",
        (0, false) => "failed",
        (_, false) => "partial",
    };
    let errors = failed.into_iter().map(|failure| wire::CollectError {
        code: match failure.kind {
            CollectFailureKind::NotFound => Word::FileNotFound.as_str(),
            CollectFailureKind::Outside => Word::PathOutsideWorkspace.as_str(),
            CollectFailureKind::Failed => "artifact_collect_failed",
        },
        message: failure.message,
        path: failure.path,
    });
    (status, errors.collect())
}

/// What start answers: the command as it was accepted, however far it has come.
pub(in crate::crownest) fn accepted(mut accepted: Command) -> wire::Command {
    accepted.state = CommandState::Starting;
    accepted.started_at = None;
    accepted.ended_at = None;
    accepted.cancel = None;
    command(accepted)
}

const fn command_status(state: CommandState) -> &'static str {
    match state {
        CommandState::Queued => "queued",
        CommandState::Starting => "starting",
        CommandState::Running => "running",
        CommandState::Exited(_) => "exited",
        CommandState::Cancelled(_) => "canceled",
        CommandState::TimedOut(_) => "timed_out",
        CommandState::Killed => "killed",
        CommandState::Lost => "failed",
    }
}

const fn cancel_mode(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Graceful => "graceful",
        CancelMode::Force => "force",
    }
}

/// The signal that ended it, where we sent one: what it died of, else what it was sent.
fn termination_signal(state: CommandState, cancel: Option<CancelMode>) -> Option<&'static str> {
    match state {
        CommandState::Cancelled(ExitStatus::Signal(SIGKILL)) | CommandState::TimedOut(_) => {
            Some("SIGKILL")
        }
        CommandState::Cancelled(ExitStatus::Signal(SIGTERM)) => Some("SIGTERM"),
        CommandState::Cancelled(_) => Some(match cancel {
            Some(CancelMode::Force) => "SIGKILL",
            Some(CancelMode::Graceful) | None => "SIGTERM",
        }),
        _ => None,
    }
}

fn millis_between(from: Time, to: Time) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{CommandId, CommandSpec, ProjectId, Purpose, SandboxId};

    fn ended(state: CommandState, cancel: Option<CancelMode>) -> wire::Command {
        command(Command {
            id: CommandId::generate(),
            sandbox: SandboxId::generate(),
            project: ProjectId::generate(),
            purpose: Purpose::Command,
            spec: CommandSpec::new(Program::Shell("true".into())),
            state,
            cancel,
            created_at: Time::UNIX_EPOCH,
            started_at: Some(Time::UNIX_EPOCH),
            ended_at: Some(Time::UNIX_EPOCH + std::time::Duration::from_micros(1_500_700)),
            last_seq: None,
            truncated: false,
        })
    }

    #[test]
    fn endings_have_the_vendors_words() {
        let shown = ended(CommandState::Exited(ExitStatus::Code(3)), None);
        assert_eq!((shown.status, shown.exit_code), ("exited", Some(3)));
        assert_eq!(
            (shown.duration_ms, shown.termination_signal),
            (Some(1500), None)
        );
        assert_eq!(
            (shown.cwd.as_str(), shown.collect_status),
            ("/workspace", "not_requested")
        );
        let shown = ended(CommandState::Exited(ExitStatus::Signal(11)), None);
        assert_eq!((shown.status, shown.exit_code), ("exited", Some(139)));
        let forced = ended(
            CommandState::Cancelled(ExitStatus::Signal(9)),
            Some(CancelMode::Force),
        );
        assert_eq!(
            (forced.status, forced.termination_signal),
            ("canceled", Some("SIGKILL"))
        );
        assert!(forced.canceled_at.is_some() && forced.cancel_mode == Some("force"));
        let gentle = ended(
            CommandState::Cancelled(ExitStatus::Code(0)),
            Some(CancelMode::Graceful),
        );
        assert_eq!(
            (gentle.exit_code, gentle.termination_signal),
            (Some(0), Some("SIGTERM"))
        );
        let killed = ended(CommandState::Killed, None);
        assert_eq!((killed.status, killed.exit_code), ("killed", None));
        assert_eq!(killed.killed_reason, Some("sandbox_destroyed"));
        assert_eq!(ended(CommandState::Lost, None).status, "failed");
        let late = ended(CommandState::TimedOut(ExitStatus::Signal(9)), None);
        assert_eq!(
            (late.status, late.termination_signal),
            ("timed_out", Some("SIGKILL"))
        );
        assert_eq!(late.canceled_at, None);
    }
}
