//! Commands as rows: a state is a word, a rank that only grows, and the two halves of an exit.

use pinfold_model::command::CancelMode;
use pinfold_model::{Command, CommandState, ExitStatus, Purpose};

use crate::db::{Query, Row};
use crate::error::{Result, StoreError};

/// The place of a state in a command's life; a step is only ever taken to a higher one.
pub(super) const fn rank(state: CommandState) -> i64 {
    match state {
        CommandState::Queued => 0,
        CommandState::Starting => 1,
        CommandState::Running => 2,
        CommandState::Exited(_)
        | CommandState::Cancelled(_)
        | CommandState::TimedOut(_)
        | CommandState::Killed
        | CommandState::Lost => 3,
    }
}

/// Binds `state`, `exit_kind` and `exit_value`.
pub(super) fn bind_state(query: Query, state: CommandState) -> Query {
    let (kind, value) = match state.exit_status() {
        Some(ExitStatus::Code(code)) => (Some("code"), Some(code)),
        Some(ExitStatus::Signal(signal)) => (Some("signal"), Some(signal)),
        None => (None, None),
    };
    query
        .bind(state.as_str())
        .bind(kind)
        .bind(value.map(i64::from))
}

pub(super) const fn cancel_text(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Graceful => "graceful",
        CancelMode::Force => "force",
    }
}

pub(super) fn to_command(row: &Row) -> Result<Command> {
    Ok(Command {
        id: row.parse("id")?,
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        purpose: to_purpose(row)?,
        spec: row.json("spec")?,
        state: to_state(row)?,
        cancel: row.opt_text("cancel")?.map(|c| to_cancel(&c)).transpose()?,
        created_at: row.time("created_at")?,
        started_at: row.opt_time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
        last_seq: row.opt_number("last_seq")?,
        truncated: row.int("truncated")? != 0,
    })
}

fn to_purpose(row: &Row) -> Result<Purpose> {
    let word = row.text("purpose")?;
    match (word.as_str(), row.opt_parse("context_id")?) {
        ("command", None) => Ok(Purpose::Command),
        ("interpreter", Some(context)) => Ok(Purpose::Interpreter(context)),
        ("code_run", Some(context)) => Ok(Purpose::CodeRun(context)),
        (word, context) => Err(StoreError::corrupt(
            "purpose",
            format!("{word:?} with context {context:?}"),
        )),
    }
}

fn to_state(row: &Row) -> Result<CommandState> {
    let word = row.text("state")?;
    match (word.as_str(), to_exit(row)?) {
        ("queued", None) => Ok(CommandState::Queued),
        ("starting", None) => Ok(CommandState::Starting),
        ("running", None) => Ok(CommandState::Running),
        ("killed", None) => Ok(CommandState::Killed),
        ("lost", None) => Ok(CommandState::Lost),
        ("exited", Some(status)) => Ok(CommandState::Exited(status)),
        ("cancelled", Some(status)) => Ok(CommandState::Cancelled(status)),
        ("timed_out", Some(status)) => Ok(CommandState::TimedOut(status)),
        (word, status) => Err(StoreError::corrupt(
            "state",
            format!("{word:?} with exit status {status:?}"),
        )),
    }
}

fn to_exit(row: &Row) -> Result<Option<ExitStatus>> {
    let value: Option<i32> = row.opt_number("exit_value")?;
    match (row.opt_text("exit_kind")?.as_deref(), value) {
        (None, None) => Ok(None),
        (Some("code"), Some(code)) => Ok(Some(ExitStatus::Code(code))),
        (Some("signal"), Some(signal)) => Ok(Some(ExitStatus::Signal(signal))),
        (kind, value) => Err(StoreError::corrupt(
            "exit_kind",
            format!("{kind:?} with value {value:?}"),
        )),
    }
}

fn to_cancel(text: &str) -> Result<CancelMode> {
    match text {
        "graceful" => Ok(CancelMode::Graceful),
        "force" => Ok(CancelMode::Force),
        _ => Err(StoreError::corrupt(
            "cancel",
            format!("unknown mode {text:?}"),
        )),
    }
}
