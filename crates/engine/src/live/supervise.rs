//! The task of one command, from its record to its recorded end.
//!
//! ```text
//! let begin what was asked for beside the record, else
//! start at the guest (again after a lost link: the guest starts an id once)
//!   -> output flows into the journal
//!   -> the guest reports the end, or every process of that life is gone: killed or lost
//!   -> End in the journal -> published -> recorded -> background children's output -> forgotten
//! ```
//! The end is published before it is recorded: the guest keeps it until it is told to forget, so a
//! crash between the two finds it again.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::command::{Attendance, CancelMode};
use pinfold_model::journal::Stream;
use pinfold_model::{CommandId, CommandState, ExitStatus, Purpose, SandboxState, limits};
use pinfold_runtime::guest::{ExitReport, FailureKind, Guest, GuestError, Pipes, StartSpec};
use pinfold_runtime::journal::{JournalWriter, OpenError, Pump, Status};
use pinfold_store::Progress;
use tokio::sync::watch;

use super::activity::Use;
use super::sandbox::Running;
use super::{Birth, Early, LiveCommand, View};
use crate::engine::Shared;

/// Between two attempts at something that has to happen.
const RETRY: Duration = Duration::from_millis(500);
/// Attempts to start through a link that stands but fails.
const STARTS_MAX: u32 = 20;
/// A sandbox that has no room may have it at once: processes of repeated requests, which wait at
/// their gates, leave when those are told from the first one.
const FULL_STARTS_MAX: u32 = 4;
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// A command that runs longer than this is recorded as running; before, its record says starting.
const RECORD_RUNNING_AFTER: Duration = Duration::from_secs(1);
/// A terminal's last output comes after its last process is gone, by microseconds as a rule.
const TERMINAL_TAIL: Duration = Duration::from_millis(250);
/// What a shell gives where a program cannot be started for another reason than not being there.
const CANNOT_START: i32 = 126;

/// Called once, when the command runs or has ended without running.
pub(crate) type OnBegun = Box<dyn FnOnce() + Send + Sync>;

/// Runs to the command's end, or to the end of this engine.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    command: Arc<LiveCommand>,
    birth: Birth,
    early: Early,
    in_use: Option<Use>,
    begun: OnBegun,
) {
    let mut task = Task {
        running: Some(command.sandbox().run_one_more()),
        shared,
        command,
        output: Output::None,
        begun: Some(begun),
        in_use,
        birth,
        early,
    };
    let ending = task.shared.ending.clone();
    tokio::select! {
        biased;
        () = task.run() => task.leave(),
        // The command runs on; the next engine finds it at the guest.
        () = ending.cancelled() => {}
    }
}

struct Task {
    shared: Arc<Shared>,
    command: Arc<LiveCommand>,
    output: Output,
    begun: Option<OnBegun>,
    /// Keeps the sandbox in use until the command has ended.
    in_use: Option<Use>,
    /// Counts it among its sandbox's running commands until it has ended.
    running: Option<Running>,
    birth: Birth,
    /// What stdin begins with and the start that was asked for, until the guest has them.
    early: Early,
}

/// Where the output goes.
enum Output {
    /// Nowhere: the journal cannot be opened.
    None,
    /// The command has not begun.
    Waiting(JournalWriter),
    Flowing(Pump),
}

/// What became of the command.
enum Outcome {
    Reported(ExitReport),
    Refused(String),
    /// Its sandbox was destroyed.
    Killed,
    Lost,
}

impl Task {
    async fn run(&mut self) {
        let prepared = self.read_input().and_then(|()| {
            self.output = Output::Waiting(self.open_journal().map_err(std::io::Error::other)?);
            Ok(())
        });
        let outcome = match prepared {
            Ok(()) => {
                // Recorded, and its output has a place. One that is cancelled by now ends at its gate.
                if self.command.state.borrow().cancel.is_none() {
                    self.early.let_through();
                }
                self.follow().await
            }
            Err(error) => {
                tracing::error!(command = %self.command.id(), %error, "no journal or input");
                unprepared(self.birth)
            }
        };
        self.finish(outcome).await;
        self.drain().await;
    }

    fn open_journal(&self) -> Result<JournalWriter, OpenError> {
        let id = self.command.id();
        let cap = self.command.state.borrow().spec.output_cap_bytes;
        let cap = cap.unwrap_or(limits::JOURNAL_DEFAULT_CAP_BYTES);
        match self.birth {
            Birth::Fresh => self.shared.journals.create(id, cap),
            Birth::Recovered => self.shared.journals.reopen(id, cap),
        }
    }

    /// What stdin begins with. It stays where it is until the end is recorded: who asks the guest
    /// again cannot know whether the command has it.
    fn read_input(&mut self) -> std::io::Result<()> {
        let named = match self.command.state.borrow().spec.input.clone() {
            Some(named) if self.early.input.is_none() => named,
            Some(_) | None => return Ok(()),
        };
        let kept = self.shared.journals.read_input(self.command.id())?;
        let whole = kept.filter(|bytes| named.names(bytes));
        self.early.input = Some(whole.ok_or(std::io::ErrorKind::NotFound)?.into());
        Ok(())
    }

    /// From one link to the next until the command has ended.
    async fn follow(&mut self) -> Outcome {
        let (mut starts, mut full) = (0, 0);
        loop {
            let Some(guest) = self.next_guest().await else {
                return self.over();
            };
            if matches!(self.output, Output::Waiting(_)) {
                match self.start_or_find(&guest).await {
                    Ok(()) => {}
                    Err(GuestError::Refused { kind, .. })
                        if kind == FailureKind::TooMany && full < FULL_STARTS_MAX =>
                    {
                        full += 1;
                        tokio::time::sleep(FULL_PAUSE).await;
                        continue;
                    }
                    Err(GuestError::Refused { kind, message, .. })
                        if kind != FailureKind::Undecided =>
                    {
                        return if self.is_only_found() {
                            Outcome::Lost
                        } else {
                            Outcome::Refused(message)
                        };
                    }
                    Err(error) => {
                        starts += 1;
                        tracing::warn!(command = %self.command.id(), %error, starts, "not started");
                        if starts == STARTS_MAX {
                            return Outcome::Lost;
                        }
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            }
            self.cancel_if_asked(&guest).await;
            if let Some(report) = self.reported(&guest).await {
                return Outcome::Reported(report);
            }
        }
    }

    /// A link that works; `None` when the command's life is over.
    async fn next_guest(&self) -> Option<Guest> {
        let life = self.command.life;
        let mut view = self.command.sandbox().watch();
        let view = view
            .wait_for(|view| {
                view.is_over(life) || view.guest().is_some_and(|guest| !guest.is_closed())
            })
            .await
            .ok()?;
        if view.is_over(life) {
            None
        } else {
            view.guest().cloned()
        }
    }

    async fn start_or_find(&mut self, guest: &Guest) -> Result<(), GuestError> {
        if self.early.answered().await {
            // One that is cancelled by now ends at its gate.
            self.cancel_if_asked(guest).await;
        }
        let mut pipes = if let Some(started) = self.early.open().await? {
            started.pipes
        } else if self.is_only_found() {
            guest.adopt(self.command.id()).await?
        } else {
            let order = StartSpec {
                input: self.early.input.clone().unwrap_or_default(),
                ..self.command.start.clone()
            };
            guest.start(order).await?.pipes
        };
        if self.command.reads_input_only() {
            // Asked again if the link breaks before the answer: nothing changes by that.
            pipes.stdin = None;
            super::command::unless_unknown(guest.close_stdin(self.command.id()).await)?;
        }
        self.begin(pipes)
    }

    /// Nobody may start it any more: its secret environment is gone, or whoever waited for it is.
    fn is_only_found(&self) -> bool {
        let spec = &self.command.state.borrow().spec;
        let deserted = self.birth == Birth::Recovered && spec.attendance == Attendance::Attended;
        spec.secret_env.is_withheld() || deserted
    }

    fn begin(&mut self, pipes: Pipes) -> Result<(), GuestError> {
        let Output::Waiting(writer) = std::mem::replace(&mut self.output, Output::None) else {
            return Ok(());
        };
        self.early.input = None;
        self.output = Output::Flowing(Pump::start(writer, pipes.stdout, pipes.stderr)?);
        self.command.stdin.begun(pipes.stdin)?;
        let now = self.shared.clock.now();
        self.command
            .begun((self.birth == Birth::Fresh).then_some(now));
        self.tell_begun();
        Ok(())
    }

    /// A cancel may have come before the command had begun, or while no link stood.
    async fn cancel_if_asked(&self, guest: &Guest) {
        let asked = self.command.state.borrow().cancel;
        if let Some(mode) = asked
            && let Err(error) = self.command.kill_tree(guest, mode).await
        {
            tracing::warn!(command = %self.command.id(), %error, "cancel not passed on");
        }
    }

    /// How the command ended; `None` when the link or the life is over first.
    async fn reported(&self, guest: &Guest) -> Option<ExitReport> {
        let life = self.command.life;
        let mut view = self.command.sandbox().watch();
        let record_running = tokio::time::sleep(RECORD_RUNNING_AFTER);
        tokio::pin!(record_running);
        let mut recorded = false;
        loop {
            tokio::select! {
                biased;
                report = self.command.exit.wait() => return Some(*report),
                () = guest.closed() => return None,
                () = over(&mut view, life) => return None,
                () = &mut record_running, if !recorded => {
                    recorded = true;
                    self.record_running().await;
                }
            }
        }
    }

    /// Nothing more will be reported; what was, stands.
    fn over(&self) -> Outcome {
        match self.command.exit.get() {
            Some(report) => Outcome::Reported(*report),
            None if self.is_destroyed() => Outcome::Killed,
            None => Outcome::Lost,
        }
    }

    fn is_destroyed(&self) -> bool {
        self.command.sandbox().view().sandbox.state == SandboxState::Destroyed
    }

    async fn finish(&mut self, outcome: Outcome) {
        self.early.let_go();
        let state = ending(&outcome);
        crate::code::note_end(&self.shared, &self.command, state);
        self.end_remains().await;
        self.await_terminal_tail().await;
        let status = self.end_journal(&outcome, state);
        // Before the end is seen, so that whoever sees it finds the sandbox unused.
        self.in_use = None;
        self.running = None;
        // The one that readers are told.
        let end = status.and_then(|status| status.end);
        let at = end.map_or_else(|| self.shared.clock.now(), |end| end.time);
        let cut = status.is_some_and(|status| status.truncated);
        self.command.end(state, at, end.map(|end| end.seq), cut);
        self.tell_begun();
        count(&self.command, state);
        self.record_end(state).await;
    }

    /// An interpreter that died by itself leaves the process that runs code, which nobody minds any
    /// more: its run has been told as ended, and the next interpreter begins afresh.
    async fn end_remains(&self) {
        if !matches!(self.command.purpose(), Purpose::Interpreter(_)) {
            return;
        }
        if let Some(guest) = self.command.sandbox().view().guest()
            && let Err(error) = self.command.kill_tree(guest, CancelMode::Force).await
        {
            tracing::debug!(command = %self.command.id(), %error, "remains not ended");
        }
    }

    async fn await_terminal_tail(&self) {
        let has_terminal = self.command.start.terminal.is_some();
        if let (true, Output::Flowing(pump)) = (has_terminal, &self.output) {
            // A background child may hold the terminal for ever, so this is bounded.
            let _ = tokio::time::timeout(TERMINAL_TAIL, pump.closed()).await;
        }
    }

    /// Appends End; what the journal is then.
    fn end_journal(&mut self, outcome: &Outcome, state: CommandState) -> Option<Status> {
        let (end, status) = match &mut self.output {
            Output::None => return None,
            Output::Flowing(pump) => (pump.finish(state), pump.status()),
            Output::Waiting(writer) => {
                if let Outcome::Refused(message) = outcome {
                    writer.append(Stream::Stderr, format!("{message}\n").as_bytes());
                }
                (writer.end(state), *writer.status())
            }
        };
        end.is_ok().then_some(status)
    }

    fn tell_begun(&mut self) {
        if let Some(begun) = self.begun.take() {
            begun();
        }
    }

    async fn record_running(&self) {
        let started_at = self.command.state.borrow().started_at;
        let at = started_at.unwrap_or_else(|| self.shared.clock.now());
        let step = Progress {
            started_at: Some(at),
            ..Progress::new(CommandState::Running)
        };
        if let Err(error) = self
            .shared
            .store
            .commands()
            .advance(self.command.id(), &step)
            .await
        {
            tracing::warn!(command = %self.command.id(), %error, "running not recorded");
        }
    }

    /// Until it is recorded the guest is not told to forget.
    async fn record_end(&self, state: CommandState) {
        let command = self.command.command();
        let step = Progress {
            started_at: command.started_at,
            ended_at: command.ended_at,
            last_seq: command.last_seq,
            truncated: command.truncated,
            ..Progress::new(state)
        };
        let (id, input) = (command.id, command.spec.input);
        self.shared.endings.write((id.clone(), step)).await;
        if input.is_some() {
            drop_input(&self.shared, &id);
        }
    }

    /// Background children may still write: their output is kept, and the guest keeps its ends of
    /// the pipes for a next engine, until they are done.
    async fn drain(&mut self) {
        let life = self.command.life;
        if let Output::Flowing(pump) = &self.output {
            let mut view = self.command.sandbox().watch();
            tokio::select! {
                biased;
                () = pump.closed() => {}
                () = over(&mut view, life) => {}
            }
        }
        if let Some(guest) = self.next_guest().await
            && let Err(error) = guest.forget(self.command.id()).await
        {
            tracing::debug!(command = %self.command.id(), %error, "not forgotten");
        }
    }

    fn leave(&self) {
        self.shared.registry.remove_command(self.command.id());
    }
}

/// Returns when every process of `life` is gone.
pub(super) async fn over(view: &mut watch::Receiver<View>, life: u32) {
    // The sender lives as long as the command's handle of its sandbox.
    let _ = view.wait_for(|view| view.is_over(life)).await;
}

/// Nobody will start this command (again). What cannot be removed goes with the journal.
pub(crate) fn drop_input(shared: &Shared, id: &CommandId) {
    if let Err(error) = shared.journals.remove_input(id) {
        tracing::warn!(command = %id, %error, "input not removed");
    }
}

/// Without a journal a new command is not started; one that runs cannot be listened to any more.
fn unprepared(birth: Birth) -> Outcome {
    match birth {
        Birth::Fresh => Outcome::Refused("its input or output could not be kept".to_owned()),
        Birth::Recovered => Outcome::Lost,
    }
}

fn ending(outcome: &Outcome) -> CommandState {
    match outcome {
        Outcome::Killed => CommandState::Killed,
        Outcome::Lost => CommandState::Lost,
        Outcome::Refused(_) => CommandState::Exited(ExitStatus::Code(CANNOT_START)),
        Outcome::Reported(report) if report.timed_out => CommandState::TimedOut(report.status),
        Outcome::Reported(report) if report.killed => CommandState::Cancelled(report.status),
        Outcome::Reported(report) => CommandState::Exited(report.status),
    }
}

fn count(command: &LiveCommand, state: CommandState) {
    metrics::counter!("pinfold_commands_total", "state" => state.as_str()).increment(1);
    let command = command.state.borrow();
    if let (Some(from), Some(to)) = (command.started_at, command.ended_at) {
        metrics::histogram!("pinfold_command_seconds").record(crate::clock::until(from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(timed_out: bool, killed: bool) -> Outcome {
        Outcome::Reported(ExitReport {
            status: ExitStatus::Signal(9),
            timed_out,
            killed,
            start_errno: 0,
            cpu: Duration::ZERO,
        })
    }

    #[test]
    fn an_ending_says_what_really_happened() {
        let status = ExitStatus::Signal(9);
        assert_eq!(ending(&report(false, false)), CommandState::Exited(status));
        assert_eq!(
            ending(&report(false, true)),
            CommandState::Cancelled(status)
        );
        assert_eq!(ending(&report(true, true)), CommandState::TimedOut(status));
        assert_eq!(ending(&Outcome::Lost).exit_status(), None);
    }
}
