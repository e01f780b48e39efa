//! Following the events of a run.

use std::collections::VecDeque;

use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{CommandId, CommandState, Ctx, ExitStatus, Result};

use super::event::{CodeCompletion, CodeEnding, CodeError, CodeEvent, Lines};
use crate::{Engine, OutputReader};

/// What the relay ends with where no interpreter took the code.
pub(super) const NO_INTERPRETER: ExitStatus = ExitStatus::Code(69);
/// The same where one took it and was gone before it said how the code ended.
pub(super) const ABANDONED: ExitStatus = ExitStatus::Code(70);

/// Yields a run's events in order, each with its number, waiting for more until
/// [`CodeEvent::Complete`] has been given. Numbers begin at 1 and have no gaps; a reader that begins
/// after the last number of another misses nothing and repeats nothing.
#[derive(Debug)]
pub struct CodeReader {
    output: OutputReader,
    lines: Lines,
    found: VecDeque<CodeEvent>,
    /// The number of the last event found by its line.
    seq: u64,
    after_seq: u64,
    ended: bool,
}

impl Engine {
    /// Reads the events of a run after number `after_seq` (0: from the first), and follows them.
    pub async fn code_events(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        after_seq: u64,
    ) -> Result<CodeReader> {
        self.code_command(ctx, id).await?;
        let output = self.reader(ctx, id, 0).await?.only(Stream::Stdout);
        Ok(CodeReader {
            output,
            lines: Lines::default(),
            found: VecDeque::new(),
            seq: 0,
            after_seq,
            ended: false,
        })
    }
}

impl CodeReader {
    /// The next event and its number; `None` after the last. May be dropped while it waits without
    /// losing anything.
    pub async fn next(&mut self) -> Result<Option<(u64, CodeEvent)>> {
        loop {
            while let Some(event) = self.found.pop_front() {
                self.seq += 1;
                // The end is told also to whoever asks for what comes behind it.
                if self.seq > self.after_seq || matches!(event, CodeEvent::Complete(_)) {
                    return Ok(Some((self.seq, event)));
                }
            }
            if self.ended {
                return Ok(None);
            }
            match self.output.next().await? {
                Some(record) => self.read(record.body),
                // Nothing of it is kept any more.
                None => self.end(CommandState::Lost),
            }
        }
    }

    /// The next event that is there now.
    pub(super) fn try_next(&mut self) -> Result<Option<CodeEvent>> {
        loop {
            if let Some(event) = self.found.pop_front() {
                return Ok(Some(event));
            }
            match self.output.try_next()? {
                Some(record) if !self.ended => self.read(record.body),
                _ => return Ok(None),
            }
        }
    }

    fn read(&mut self, body: RecordBody) {
        match body {
            RecordBody::Output { bytes, .. } => {
                let found = &mut self.found;
                self.lines.take(&bytes, |event| found.push_back(event));
                self.ended = self.lines.is_complete();
            }
            RecordBody::Truncated => {}
            RecordBody::End { state } => self.end(state),
        }
    }

    /// The command is over and said nothing of how the code ended.
    fn end(&mut self, state: CommandState) {
        let (ending, error) = unsaid(state);
        self.found.push_back(CodeEvent::Error(error));
        self.found.push_back(CodeEvent::Complete(CodeCompletion {
            ending,
            execution_count: None,
            duration_ms: None,
            // The interpreter lives: it was the relay that a signal ended.
            state_kept: matches!(
                state,
                CommandState::Cancelled(ExitStatus::Signal(_))
                    | CommandState::Exited(ExitStatus::Signal(_))
            ),
        }));
        self.ended = true;
    }
}

fn unsaid(state: CommandState) -> (CodeEnding, CodeError) {
    let (ending, name, message) = match state {
        CommandState::Exited(NO_INTERPRETER) | CommandState::Cancelled(NO_INTERPRETER) => (
            CodeEnding::Died,
            "InterpreterDied",
            "the interpreter was gone before the code began; run it again",
        ),
        CommandState::TimedOut(_) => (
            CodeEnding::TimedOut,
            "InterpreterUnresponsive",
            "the run was over its time and its interpreter did not answer; restart the context",
        ),
        // Once it has handed the code over, the relay outlives an interrupt.
        CommandState::Cancelled(ExitStatus::Signal(_)) => (
            CodeEnding::Interrupted,
            "Interrupted",
            "the run was interrupted before it began",
        ),
        CommandState::Exited(ExitStatus::Signal(_)) => (
            CodeEnding::Interrupted,
            "RelayKilled",
            "the run's own process was killed, and its code interrupted with that; whether its \
             variables are there, the next run tells",
        ),
        CommandState::Queued
        | CommandState::Starting
        | CommandState::Running
        | CommandState::Exited(_)
        | CommandState::Cancelled(_) => (
            CodeEnding::Died,
            "InterpreterDied",
            "the interpreter was gone before the code had ended; its variables are gone, and the \
             next run begins with a fresh one",
        ),
        CommandState::Killed => (
            CodeEnding::Lost,
            "SandboxDestroyed",
            "the sandbox was destroyed while the code ran",
        ),
        CommandState::Lost => (
            CodeEnding::Lost,
            "Lost",
            "the sandbox's processes are gone, or the record of this run is no longer kept; nobody \
             knows how far it came",
        ),
    };
    let error = CodeError {
        name: name.to_owned(),
        message: message.to_owned(),
        traceback: String::new(),
    };
    (ending, error)
}
