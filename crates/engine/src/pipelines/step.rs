//! One step of a run: its script placed in the sandbox, its command, its result.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::pipeline::{RunFailure, RunFault, StepState};
use pinfold_model::{
    Code, Command, CommandId, CommandSpec, CommandState, Error, Program, Purpose, Result,
};
use pinfold_runtime::guest::{FilePath, Follow, WriteOptions};

use super::owner::{Owner, RETRY, failure};
use crate::commands::{new_command, start};
use crate::errors::guest_error;
use crate::live::{Lease, LiveCommand, LiveSandbox};

/// Where scripts stand inside: not among the files of the run.
const SCRIPT_DIR: &str = "/tmp/.pinfold";
const SCRIPT_MODE: u32 = 0o644;
/// What a shell's `timeout` says.
const TIMED_OUT: i32 = 124;
/// How long a step that was killed may take to be reported; its sandbox goes anyway.
const KILLED_PATIENCE: Duration = Duration::from_secs(10);

impl Owner {
    /// Runs a step to its result; an error stops the run.
    pub(super) async fn step(
        &mut self,
        sandbox: &Arc<LiveSandbox>,
        index: usize,
    ) -> Result<(), RunFailure> {
        let id = self.command_of(index).await;
        let command = tokio::select! {
            command = self.command(sandbox, index, &id) => command,
            // What is known of the command by then is settled with the rest.
            stopped = self.stopped() => return Err(stopped),
        };
        let command = match command {
            Ok(command) => command,
            Err(failure) => {
                let known = self.settle_known(index, Some(failure.clone())).await;
                if known.is_none() {
                    self.run.steps[index].state = StepState::Failed;
                }
                return Err(failure);
            }
        };
        let Some(live) = command else {
            // An earlier engine saw it end.
            let recorded = self.shared.store.commands().get(&id).await;
            let recorded = recorded.map_err(|error| failure(&error.into()))?;
            return recorded.map_or(Ok(()), |command| self.settle(index, &command, None));
        };
        let now = live.command();
        self.run.steps[index].state = StepState::Running;
        self.run.steps[index].started_at = now.started_at.or(Some(now.created_at));
        self.publish();
        tokio::select! {
            command = live.ended() => self.settle(index, &command, None),
            stopped = self.stopped() => {
                let command = killed(&live).await;
                self.settle(index, &command, Some(stopped))
            }
        }
    }

    /// The id of a step's command, recorded before the command is made.
    async fn command_of(&mut self, index: usize) -> CommandId {
        if let Some(id) = &self.run.steps[index].command {
            return id.clone();
        }
        let id = CommandId::generate();
        self.run.steps[index].command = Some(id.clone());
        self.save().await;
        id
    }

    /// The step's command, started unless it was; `None` where it has ended already.
    async fn command(
        &self,
        sandbox: &Arc<LiveSandbox>,
        index: usize,
        id: &CommandId,
    ) -> Result<Option<Arc<LiveCommand>>, RunFailure> {
        let found = async {
            if let Some(live) = self.shared.registry.command(id) {
                return Ok(Some(live));
            }
            if self.shared.store.commands().get(id).await?.is_some() {
                return Ok(None);
            }
            let patience = self.shared.config.attach_timeout;
            let script = self.place(&sandbox.lease(patience).await?, index).await?;
            let lease = sandbox.lease(patience).await?;
            let spec = self.command_spec(index, script);
            let command = new_command(&self.shared, sandbox, id.clone(), spec, Purpose::Command);
            let starting = start(&self.shared, lease, command, None);
            let live = Arc::clone(&starting.live);
            starting.answer().await?;
            Ok(Some(live))
        };
        found.await.map_err(|error: Error| failure(&error))
    }

    fn command_spec(&self, index: usize, script: String) -> CommandSpec {
        let argv = ["bash", "-eo", "pipefail", &script];
        let argv = argv.map(str::to_owned).to_vec();
        CommandSpec {
            timeout: self.run.spec.steps[index].timeout,
            ..CommandSpec::new(Program::Argv(argv))
        }
    }

    /// Writes the script in one piece; where it stands.
    async fn place(&self, lease: &Lease, index: usize) -> Result<String> {
        let script = self.run.spec.steps[index].script.as_bytes();
        let path = format!("{SCRIPT_DIR}/step-{}.sh", index + 1);
        let at = FilePath {
            path: path.clone().into(),
            user: lease.sandbox().spec.user.clone(),
            within: None,
            follow: Follow::Yes,
        };
        let options = WriteOptions {
            mode: SCRIPT_MODE,
            parents: true,
            exclusive: false,
            expect_bytes: Some(script.len() as u64),
        };
        let begun = lease.guest().write(&at, options).await;
        let mut transfer = begun.map_err(guest_error)?;
        let written = tokio::io::AsyncWriteExt::write_all(&mut transfer, script).await;
        // Where the sandbox stopped reading, the end of the transfer knows why.
        let finished = transfer.finish().await.map_err(guest_error);
        finished.and(written.map_err(|error| {
            Error::new(Code::GuestUnavailable, "the script could not be placed").because(error)
        }))?;
        Ok(path)
    }

    /// Ends a step by what is known of its command, which is killed if it runs; `None` where no
    /// command was accepted for it.
    pub(super) async fn settle_known(
        &mut self,
        index: usize,
        stopped: Option<RunFailure>,
    ) -> Option<Result<(), RunFailure>> {
        let id = self.run.steps[index].command.clone()?;
        let command = self.ended_command(&id).await?;
        Some(self.settle(index, &command, stopped))
    }

    async fn ended_command(&self, id: &CommandId) -> Option<Command> {
        if let Some(live) = self.shared.registry.command(id) {
            let command = killed(&live).await;
            if command.state.is_terminal() {
                return Some(command);
            }
            // Its record knows whether it was accepted at all.
        }
        loop {
            match self.shared.store.commands().get(id).await {
                Ok(recorded) => return recorded,
                Err(error) => {
                    tracing::error!(run = %self.run.id, %error, "step not looked up, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Takes over how the command ended.
    fn settle(
        &mut self,
        index: usize,
        command: &Command,
        stopped: Option<RunFailure>,
    ) -> Result<(), RunFailure> {
        let out_of_time = stopped
            .as_ref()
            .is_some_and(|stopped| stopped.fault == RunFault::TimedOut);
        let exit_code = match command.state {
            CommandState::TimedOut(_) => Some(TIMED_OUT),
            CommandState::Cancelled(_) if out_of_time => Some(TIMED_OUT),
            state => state.exit_status().map(|status| status.shell_code()),
        };
        let step = &mut self.run.steps[index];
        let passed = exit_code == Some(0) && matches!(command.state, CommandState::Exited(_));
        step.state = if passed {
            StepState::Passed
        } else {
            StepState::Failed
        };
        step.exit_code = exit_code;
        step.started_at = command.started_at.or(step.started_at);
        step.ended_at = command.ended_at;
        match (stopped, command.state) {
            (Some(stopped), _) => Err(stopped),
            (None, CommandState::Lost | CommandState::Killed) => Err(RunFailure::new(
                RunFault::SandboxGone,
                "the sandbox ended while a step ran",
            )),
            (None, _) => Ok(()),
        }
    }
}

/// Kills what the command started; what the command is then, or after a while.
async fn killed(live: &Arc<LiveCommand>) -> Command {
    live.note_cancel(CancelMode::Force);
    if let Err(error) = live.cancel(CancelMode::Force).await {
        tracing::debug!(command = %live.id(), %error, "not killed; its sandbox goes next");
    }
    match tokio::time::timeout(KILLED_PATIENCE, live.ended()).await {
        Ok(command) => command,
        Err(_) => live.command(),
    }
}
