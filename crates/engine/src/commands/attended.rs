//! Commands that belong to whoever waits for them: when nobody does any more, everything they
//! started is killed.
//!
//! The promise holds across a crash too: a command says in its own specification that it is
//! attended, and an engine that finds one running knows that nobody waits for it.

use std::sync::Arc;

use pinfold_model::command::{Attendance, CancelMode};
use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{
    Code, Command, CommandId, CommandSpec, CommandState, Ctx, Error, Purpose, Result, SandboxId,
};

use super::start::{new_command, start};
use super::{OutputReader, RunOutput};
use crate::engine::Shared;
use crate::live::LiveCommand;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

/// A command and its output. Dropped before the command has ended, it kills everything the command
/// started.
#[derive(Debug)]
pub struct Attended {
    engine: Engine,
    ctx: Ctx,
    id: CommandId,
    origin: Origin,
    reader: OutputReader,
    _watch: Option<Watch>,
}

/// Kills its command when it is dropped, unless that has ended.
struct Watch {
    shared: Arc<Shared>,
    live: Arc<LiveCommand>,
}

impl Engine {
    /// Starts a command for as long as the answer is held; otherwise as
    /// [`Engine::start_command`]. Who goes away while it starts leaves nothing behind either.
    pub async fn attend_command(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: CommandSpec,
        idempotency: Option<&str>,
    ) -> Result<Attended> {
        let note = Note::new("command.start");
        self.audited_behind(ctx, &note, async {
            let (accepted, watch) = self.attend(ctx, sandbox, spec, idempotency).await?;
            note.about(accepted.value.id.as_str());
            note.of(&accepted.value.project);
            note.fact("sandbox", sandbox.as_str());
            note.fact("replay", accepted.origin == Origin::Replay);
            note.fact("attended", true);
            let id = accepted.value.id;
            Ok(Attended {
                reader: self.reader(ctx, &id, 0).await?,
                engine: self.clone(),
                ctx: ctx.clone(),
                id,
                origin: accepted.origin,
                _watch: watch,
            })
        })
        .await
    }

    async fn attend(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        mut spec: CommandSpec,
        idempotency: Option<&str>,
    ) -> Result<(Accepted<Command>, Option<Watch>)> {
        spec.attendance = Attendance::Attended;
        spec.validate()?;
        // The specification's own form leaves the values of secrets out.
        let request = (sandbox, &spec, spec.secret_env.values());
        let claim = self.claim_in(ctx, sandbox, "command.attend", idempotency, &request)?;
        let lease = self.lease(ctx, sandbox).await?;
        let shared = self.shared();
        let command = new_command(
            shared,
            lease.live(),
            CommandId::generate(),
            spec,
            Purpose::Command,
        );
        let starting = start(shared, lease, command, claim);
        // From here on, also while this waits: dropping it kills.
        let watch = Watch::over(shared, &starting.live);
        let accepted = starting.answer().await?;
        if accepted.origin == Origin::New {
            return Ok((accepted, Some(watch)));
        }
        // The command of the earlier request is watched instead.
        let live = shared.registry.command(&accepted.value.id);
        let watch = live.map(|live| Watch::over(shared, &live));
        Ok((accepted, watch))
    }
}

impl Attended {
    #[must_use]
    pub fn id(&self) -> &CommandId {
        &self.id
    }

    /// The next record of its journal; `None` after its end. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        self.reader.next().await
    }

    /// The command as it ended; waits for that. One that somebody else ended meanwhile, with its
    /// sandbox or because an earlier request for it went away, is an error.
    pub async fn ended(&self) -> Result<Command> {
        let command = self.engine.wait_command(&self.ctx, &self.id, None).await?;
        match command.state {
            CommandState::Lost | CommandState::Killed => Err(Error::new(
                Code::SandboxGone,
                "the sandbox ended while the command ran",
            )),
            CommandState::Cancelled(_) if self.origin == Origin::Replay => Err(Error::new(
                Code::Unavailable,
                "the request that started this command went away, and the command with it",
            )),
            _ => Ok(command),
        }
    }

    /// Everything it writes until its end. More than `max_bytes` on one stream is an error, and
    /// ends it.
    pub async fn output(mut self, max_bytes: usize) -> Result<RunOutput> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(record) = self.next().await? {
            match record.body {
                RecordBody::Output { stream, bytes } => {
                    let into = match stream {
                        Stream::Stdout => &mut stdout,
                        Stream::Stderr => &mut stderr,
                    };
                    if into.len() + bytes.len() > max_bytes {
                        return Err(too_much(max_bytes));
                    }
                    into.extend(bytes);
                }
                RecordBody::Truncated => return Err(too_much(max_bytes)),
                RecordBody::End { .. } => break,
            }
        }
        Ok(RunOutput {
            command: self.ended().await?,
            collect: None,
            stdout,
            stderr,
            stdout_truncated: false,
            stderr_truncated: false,
            origin: self.origin,
        })
    }
}

fn too_much(max_bytes: usize) -> Error {
    Error::new(
        Code::BodyTooLarge,
        format!(
            "the command wrote more than {} MiB to one stream; write to a file and read that, or \
             stream the output",
            max_bytes >> 20
        ),
    )
}

impl Watch {
    fn over(shared: &Arc<Shared>, live: &Arc<LiveCommand>) -> Self {
        Self {
            shared: Arc::clone(shared),
            live: Arc::clone(live),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Noted here and now: a command that has not begun is killed by its own task as it begins.
        if self.live.note_cancel(CancelMode::Force).state.is_terminal() {
            return;
        }
        let live = Arc::clone(&self.live);
        self.shared.tasks.spawn(async move {
            if let Err(error) = live.cancel(CancelMode::Force).await
                && error.code() != Code::CommandEnded
            {
                tracing::warn!(command = %live.id(), %error, "nobody waits for it and it runs on");
            }
        });
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(self.live.id()).finish()
    }
}
