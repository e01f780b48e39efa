//! Commands of a build: `RUN` and the set-up, each in its sandbox, with a journal as any command.

use std::sync::Arc;

use pinfold_images::{RunAction, RunProgram};
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_model::sandbox::EndReason;
use pinfold_model::{Command, CommandId, CommandSpec, CommandState, ExitStatus, Program, Purpose};
use pinfold_runtime::guest::{FilePath, Follow, WriteOptions};

use super::owner::{Owner, failure};
use crate::commands::{new_command, start};
use crate::errors::guest_error;
use crate::live::{Lease, LiveSandbox};

/// Where a script with an interpreter of its own stands while it runs.
const SCRIPT: &str = "/tmp/.pinfold-run";
const SCRIPT_MODE: u32 = 0o755;
const DIRECTORY_MODE: u32 = 0o755;

impl Owner {
    pub(super) async fn run_command(
        &mut self,
        step: usize,
        run: &RunAction,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<(), BuildFailure> {
        let program = match &run.program {
            RunProgram::Argv(argv) => Program::Argv(argv.clone()),
            RunProgram::Line(line) => Program::Shell(line.clone()),
            RunProgram::Script(script) => {
                let lease = self.lease(sandbox).await?;
                self.place_script(&lease, script).await?;
                Program::Argv(vec![SCRIPT.to_owned()])
            }
        };
        let mut env = run.proxies.clone();
        env.extend(run.env.clone());
        let spec = CommandSpec {
            env,
            secret_env: match self.place_in_setup(step) {
                Some(place) => self.build.spec.secrets_of_setup(place),
                None => self.build.spec.secrets.clone(),
            },
            user: run.user.clone(),
            ..CommandSpec::new(program)
        };
        spec.validate().map_err(|error| failure(&error))?;
        let command = self.ended(step, spec, sandbox).await?;
        self.build.steps[step].run.exit_code = command
            .state
            .exit_status()
            .map(|status| status.shell_code());
        if let RunProgram::Script(_) = &run.program {
            let lease = self.lease(sandbox).await?;
            let removed = lease.guest().remove(&FilePath::new(SCRIPT), false).await;
            removed.map_err(|error| failure(&guest_error(error)))?;
        }
        match judge(&self.build.steps[step].text, &command) {
            Err(why) if self.ran_out_of_memory(sandbox).await => Err(BuildFailure {
                fault: BuildFault::OutOfMemory,
                message: format!("{}; it ran out of memory", why.message),
                ..why
            }),
            judged => judged,
        }
    }

    /// Whether the kernel killed something in a sandbox, or all of it, for want of memory.
    async fn ran_out_of_memory(&self, sandbox: &Arc<LiveSandbox>) -> bool {
        if sandbox.view().sandbox.reason == Some(EndReason::OutOfMemory) {
            return true;
        }
        let gauge = self.shared.driver.gauge(sandbox.id()).await;
        gauge.is_ok_and(|gauge| gauge.oom_kills > 0)
    }

    /// Which line of the set-up a step does; those are the last ones.
    pub(super) fn place_in_setup(&self, step: usize) -> Option<usize> {
        let first = self.build.steps.len() - self.build.spec.setup.len();
        step.checked_sub(first)
    }

    /// Starts the step's command and waits for its end.
    async fn ended(
        &mut self,
        step: usize,
        spec: CommandSpec,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<Command, BuildFailure> {
        let id = CommandId::generate();
        self.build.steps[step].run.command = Some(id.clone());
        // Recorded before it starts: its log is found after a crash.
        self.save().await;
        let lease = self.lease(sandbox).await?;
        let command = new_command(&self.shared, sandbox, id, spec, Purpose::Command);
        let starting = start(&self.shared, lease, command, None);
        let live = Arc::clone(&starting.live);
        starting.answer().await.map_err(|error| failure(&error))?;
        Ok(live.ended().await)
    }

    async fn place_script(&self, lease: &Lease, script: &str) -> Result<(), BuildFailure> {
        let options = WriteOptions {
            mode: SCRIPT_MODE,
            parents: true,
            exclusive: false,
            expect_bytes: Some(script.len() as u64),
        };
        let begun = lease.guest().write(&FilePath::new(SCRIPT), options).await;
        let mut transfer = begun.map_err(|error| failure(&guest_error(error)))?;
        // Where the sandbox stops reading, the end of the transfer knows why.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut transfer, script.as_bytes()).await;
        let written = transfer.finish().await;
        written
            .map(drop)
            .map_err(|error| failure(&guest_error(error)))
    }

    /// Root's, with what is missing above it; one that is there stays as it is.
    pub(super) async fn make_directory(
        &self,
        lease: &Lease,
        path: &str,
    ) -> Result<(), BuildFailure> {
        let at = FilePath {
            follow: Follow::Yes,
            ..FilePath::new(path)
        };
        let made = lease.guest().make_dir(&at, true, DIRECTORY_MODE).await;
        made.map_err(|error| failure(&guest_error(error)))
    }
}

fn judge(text: &str, command: &Command) -> Result<(), BuildFailure> {
    let step_failed = |how: String| {
        Err(BuildFailure::new(
            BuildFault::StepFailed,
            format!("{text}: {how}"),
        ))
    };
    match command.state {
        CommandState::Exited(ExitStatus::Code(0)) => Ok(()),
        CommandState::Exited(status) => {
            step_failed(format!("it exited with code {}", status.shell_code()))
        }
        CommandState::TimedOut(_) => step_failed("it ran out of time".to_owned()),
        CommandState::Cancelled(_) => step_failed("it was cancelled".to_owned()),
        _ => Err(BuildFailure::new(
            BuildFault::SandboxFailed,
            format!("{text}: the sandbox ended while it ran"),
        )),
    }
}
