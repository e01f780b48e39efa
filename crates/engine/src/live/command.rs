//! The handle of a live command: its state, its end, and the ways to act on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::{
    Code, Command, CommandId, CommandState, Error, Program, ProjectId, Purpose, Result, StdinMode,
    Time, WindowSize,
};
use pinfold_runtime::guest::{ExitReport, FailureKind, Guest, GuestError, KillScope, StartSpec};
use tokio::sync::{SetOnce, watch};

use super::LiveSandbox;
use super::stdin::Stdin;
use crate::errors::guest_error;

/// How long an action waits for a link that is being restored.
const PATIENCE: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

pub(crate) struct LiveCommand {
    id: CommandId,
    sandbox: Arc<LiveSandbox>,
    /// The life of the sandbox it belongs to.
    pub(super) life: u32,
    /// What to tell the guest; asking twice with the same one starts one process.
    pub(super) start: StartSpec,
    pub(super) state: watch::Sender<Command>,
    pub(super) exit: SetOnce<ExitReport>,
    pub(super) stdin: Stdin,
    /// An interpreter that must be handed nothing more.
    forsaken: AtomicBool,
}

impl LiveCommand {
    pub(crate) fn new(
        command: Command,
        sandbox: Arc<LiveSandbox>,
        life: u32,
        start: StartSpec,
    ) -> Self {
        let has_stdin = command.spec.stdin == StdinMode::Open || command.spec.tty.is_some();
        Self {
            id: command.id.clone(),
            sandbox,
            life,
            start,
            state: watch::Sender::new(command),
            exit: SetOnce::new(),
            stdin: Stdin::new(has_stdin),
            forsaken: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> &CommandId {
        &self.id
    }

    pub(crate) fn sandbox(&self) -> &Arc<LiveSandbox> {
        &self.sandbox
    }

    pub(crate) fn project(&self) -> &ProjectId {
        self.sandbox.project()
    }

    pub(crate) fn command(&self) -> Command {
        self.state.borrow().clone()
    }

    /// Its stdin ends behind what came with the start.
    pub(super) fn reads_input_only(&self) -> bool {
        let command = self.state.borrow();
        command.spec.input.is_some() && command.spec.stdin == StdinMode::Null
    }

    /// Whether the sandbox counts as in use while this runs: an interpreter waits for somebody.
    pub(crate) fn keeps_in_use(&self) -> bool {
        !matches!(self.state.borrow().purpose, Purpose::Interpreter(_))
    }

    pub(crate) fn purpose(&self) -> Purpose {
        self.state.borrow().purpose.clone()
    }

    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.borrow().state.is_terminal()
    }

    /// Whether its start has been answered, and it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.state.borrow().state == CommandState::Running
    }

    /// Waits until its start has been answered, or it has ended.
    pub(crate) async fn answered(&self) {
        let mut state = self.state.subscribe();
        let answered = state.wait_for(|command| command.state != CommandState::Starting);
        // The sender is ours.
        let _ = answered.await;
    }

    pub(crate) fn program(&self) -> &Program {
        &self.start.program
    }

    /// Nothing more is handed to this interpreter.
    pub(crate) fn forsake(&self) {
        self.forsaken.store(true, Ordering::Release);
    }

    pub(crate) fn is_forsaken(&self) -> bool {
        self.forsaken.load(Ordering::Acquire)
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Command {
        let mut state = self.state.subscribe();
        match state.wait_for(|command| command.state.is_terminal()).await {
            Ok(command) => command.clone(),
            Err(_) => unreachable!("the sender is ours"),
        }
    }

    /// The guest says how it ended. Said again after each new link; the first time stays.
    pub(super) fn report(&self, report: ExitReport) {
        // Saying the same again is no error.
        let _ = self.exit.set(report);
    }

    /// It runs since `at`; `None` where an earlier engine saw it begin, which it did as soon as it
    /// was accepted.
    pub(super) fn begun(&self, at: Option<Time>) {
        self.state.send_modify(|command| {
            if command.state.may_become(CommandState::Running) {
                command.state = CommandState::Running;
                command
                    .started_at
                    .get_or_insert(at.unwrap_or(command.created_at));
            }
        });
    }

    pub(super) fn end(&self, state: CommandState, at: Time, last_seq: Option<u64>, cut: bool) {
        self.stdin.close();
        self.state.send_modify(|command| {
            if command.state.may_become(state) {
                command.state = state;
                command.ended_at = Some(at);
                command.last_seq = last_seq;
                command.truncated = cut;
            }
        });
    }

    /// Notes that a cancel was asked for; what the command is then. A forced one is never weakened.
    pub(crate) fn note_cancel(&self, mode: CancelMode) -> Command {
        self.state.send_modify(|command| {
            if command.cancel != Some(CancelMode::Force) && !command.state.is_terminal() {
                command.cancel = Some(mode);
            }
        });
        self.command()
    }

    /// Signals everything the command started.
    pub(crate) async fn cancel(&self, mode: CancelMode) -> Result<()> {
        let guest = self.guest().await?;
        self.kill_tree(&guest, mode).await.map_err(guest_error)
    }

    /// One that the guest does not know has not begun, and its task will do this when it has; or
    /// it has ended.
    pub(super) async fn kill_tree(
        &self,
        guest: &Guest,
        mode: CancelMode,
    ) -> Result<(), GuestError> {
        let signal = match (mode, self.purpose()) {
            // Its process sees to it that the code is interrupted, and ended if it does not heed.
            (_, Purpose::CodeRun(_)) | (CancelMode::Graceful, _) => SIGTERM,
            (CancelMode::Force, _) => SIGKILL,
        };
        unless_unknown(guest.kill(&self.id, signal, KillScope::Tree).await)
    }

    pub(crate) async fn signal(&self, signal: i32) -> Result<()> {
        let guest = self.guest().await?;
        guest
            .kill(&self.id, signal, KillScope::Foreground)
            .await
            .map_err(guest_error)
    }

    pub(crate) async fn resize(&self, size: WindowSize) -> Result<()> {
        if size.rows == 0 || size.cols == 0 {
            return Err(Error::invalid(
                "size",
                "a terminal has at least one row and one column",
            ));
        }
        if self.state.borrow().spec.tty.is_none() {
            return Err(Error::new(
                Code::SessionNotFound,
                "the command has no terminal",
            ));
        }
        let guest = self.guest().await?;
        guest.resize(&self.id, size).await.map_err(guest_error)
    }

    pub(crate) async fn write_stdin(&self, bytes: &[u8]) -> Result<()> {
        tokio::select! {
            written = self.stdin.write(bytes) => written,
            _ = self.ended() => Err(has_ended()),
        }
    }

    pub(crate) async fn close_stdin(&self) -> Result<()> {
        self.stdin.open().await?;
        let guest = self.guest().await?;
        self.stdin.close();
        unless_unknown(guest.close_stdin(&self.id).await).map_err(guest_error)
    }

    /// The guest, once the command has begun; waits a little where its link is being restored.
    async fn guest(&self) -> Result<Guest> {
        let mut view = self.sandbox.watch();
        let reachable = view.wait_for(|view| view.is_over(self.life) || view.guest().is_some());
        let _ = tokio::time::timeout(PATIENCE, reachable).await;
        let view = self.sandbox.view();
        if view.is_over(self.life) || self.has_ended() {
            return Err(has_ended());
        }
        view.sandbox.state.require_running()?;
        view.guest().cloned().ok_or_else(|| {
            Error::new(
                Code::GuestUnavailable,
                "the sandbox cannot be reached at the moment; try again shortly",
            )
        })
    }
}

/// What a caller hears who wants something of a command that has ended.
pub(crate) fn has_ended() -> Error {
    Error::new(Code::CommandEnded, "the command has ended")
}

pub(super) fn unless_unknown(result: Result<(), GuestError>) -> Result<(), GuestError> {
    match result {
        Err(error) if error.refusal() == Some(FailureKind::NoSuchCommand) => Ok(()),
        other => other,
    }
}

impl std::fmt::Debug for LiveCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveCommand").field(&self.id).finish()
    }
}
