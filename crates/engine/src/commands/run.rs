//! Running a command to its end and answering with what it wrote.

use pinfold_model::collect::CollectReport;
use pinfold_model::journal::Stream;
use pinfold_model::{Command, CommandId, CommandSpec, Ctx, Error, Result, SandboxId};
use pinfold_runtime::journal::{Collected, Journals, OpenError};

use crate::errors::journal_error;
use crate::{Engine, Origin};

/// Bounds of what [`Engine::run_command`] answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Bytes kept of each stream; the rest stays in the journal.
    pub inline_bytes: usize,
}

/// Of a journal that is read in place; the last one is its End.
const FEW_RECORDS: u64 = 4;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            inline_bytes: 1 << 20,
        }
    }
}

/// A command with the beginning of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutput {
    pub command: Command,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// More was written than is here; the journal has it, while it is kept.
    pub stdout_truncated: bool,
    pub stderr_truncated: bool,
    /// What was collected behind it; `None` also where that is not over yet.
    pub collect: Option<CollectReport>,
    pub origin: Origin,
}

impl Engine {
    /// Starts a command, waits for its end and reads what it wrote until then. Dropping the future
    /// leaves the command running.
    pub async fn run_command(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: CommandSpec,
        idempotency: Option<&str>,
        options: RunOptions,
    ) -> Result<RunOutput> {
        let started = self
            .started("command.run", ctx, sandbox, spec, idempotency)
            .await?;
        let id = &started.value.id;
        if started.value.spec.collect.is_some() {
            self.collected_behind(ctx, id).await?;
        }
        let command = self.wait_command(ctx, id, None).await?;
        self.with_output(ctx, command, started.origin, options)
            .await
    }

    /// A command as it is now, with what it wrote if it has ended. While it runs its output is for
    /// readers of the journal: whoever asks again and again is not to read all of it each time.
    pub async fn command_output(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        options: RunOptions,
    ) -> Result<RunOutput> {
        self.timed(ctx, "command.output", async {
            let command = self.any_command(ctx, id).await?;
            if command.state.is_terminal() {
                return self
                    .with_output(ctx, command, Origin::Replay, options)
                    .await;
            }
            Ok(RunOutput {
                command,
                stdout: Vec::new(),
                stderr: Vec::new(),
                stdout_truncated: false,
                stderr_truncated: false,
                collect: None,
                origin: Origin::Replay,
            })
        })
        .await
    }

    /// The same of a command that has ended: waits for that.
    pub async fn ended_output(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        options: RunOptions,
    ) -> Result<RunOutput> {
        let command = self.wait_command(ctx, id, None).await?;
        self.with_output(ctx, command, Origin::Replay, options)
            .await
    }

    async fn with_output(
        &self,
        ctx: &Ctx,
        command: Command,
        origin: Origin,
        options: RunOptions,
    ) -> Result<RunOutput> {
        let collect = match command.spec.collect {
            Some(_) => {
                let report = self.store().commands().collect(&command.id).await?;
                if report.is_none() {
                    self.take_up_collecting(ctx, &command);
                }
                report
            }
            None => None,
        };
        let journals = self.inner.parts.journals.clone();
        let (id, last) = (command.id.clone(), command.last_seq);
        let lost = may_have_written(&command);
        let read = move || written(&journals, &id, lost, options.inline_bytes);
        let (stdout, stderr) = match last {
            // Reading them takes less than the way to another thread.
            Some(last) if last <= FEW_RECORDS => read()?,
            _ => {
                let read = tokio::task::spawn_blocking(read).await;
                read.map_err(Error::internal)??
            }
        };
        Ok(RunOutput {
            collect,
            command,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            stdout_truncated: stdout.truncated,
            stderr_truncated: stderr.truncated,
            origin,
        })
    }
}

/// Whether a command that has ended has written anything, as far as its record tells: its last
/// record is its End, so one alone says that nothing was written. Where nobody knows the last one,
/// whatever has begun may have.
pub(crate) fn may_have_written(command: &Command) -> bool {
    match command.last_seq {
        Some(last) => last > 1,
        None => command.started_at.is_some(),
    }
}

/// The beginning of both streams of a command that has ended; where they are no longer kept, `lost`
/// tells whether that is missed.
fn written(
    journals: &Journals,
    id: &CommandId,
    lost: bool,
    bytes: usize,
) -> Result<(Collected, Collected)> {
    let journal = match journals.get(id) {
        Ok(journal) => journal,
        Err(OpenError::NotFound(_)) => {
            let nothing = Collected {
                bytes: Vec::new(),
                truncated: lost,
            };
            return Ok((nothing.clone(), nothing));
        }
        Err(error) => return Err(journal_error(error)),
    };
    let collect = |stream| journal.collect(stream, bytes).map_err(Error::internal);
    Ok((collect(Stream::Stdout)?, collect(Stream::Stderr)?))
}
