//! Starting a command exactly once.
//!
//! ```text
//! keep what its stdin begins with -> one transaction: claim the idempotency key + record the command
//!   beside it: the guest, if it can be reached, makes the process, which waits at a gate
//!   -> the command's own task opens the gate, or else starts it at the guest, which starts an id once
//! ```
//! Whatever dies in between, recovery finds the record and asks the guest again with the same id; a
//! gate that nobody can open any more stands for a start that never was.

use std::sync::Arc;

use pinfold_model::command::Input;
use pinfold_model::{
    Command, CommandId, CommandSpec, CommandState, Ctx, Error, Level, Purpose, Resource, Result,
    SandboxId,
};
use pinfold_runtime::guest::StartSpec;
use pinfold_store::{Idempotency, Inserted};
use tokio::sync::oneshot;

use crate::engine::{Shared, fingerprint};
use crate::live::{self, Birth, Early, Lease, LiveCommand, LiveSandbox};
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

impl Engine {
    /// Starts a command; answers when it runs, or has ended already. A program that cannot be
    /// started ends with 126 or 127 and says why on its stderr.
    ///
    /// The same idempotency key with the same request answers with the same command; with another
    /// request it is a conflict.
    pub async fn start_command(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: CommandSpec,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Command>> {
        self.started("command.start", ctx, sandbox, spec, idempotency)
            .await
    }

    /// Starts it for the use case `operation`, whose idempotency keys are its own.
    pub(super) async fn started(
        &self,
        operation: &'static str,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: CommandSpec,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Command>> {
        let note = Note::new("command.start");
        self.audited_behind(ctx, &note, async {
            spec.validate()?;
            if spec.collect.is_some() {
                ctx.require(Resource::Objects, Level::Write)?;
            }
            // The specification's own form leaves the values of secrets out.
            let request = (sandbox, &spec, spec.secret_env.values());
            let claim = self.claim_in(ctx, sandbox, operation, idempotency, &request)?;
            let accepted = self.accept_command(ctx, sandbox, spec, claim).await?;
            note.about(accepted.value.id.as_str());
            note.of(&accepted.value.project);
            note.fact("sandbox", sandbox.as_str());
            note.fact("replay", accepted.origin == Origin::Replay);
            Ok(accepted)
        })
        .await
    }

    async fn accept_command(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: CommandSpec,
        claim: Option<Idempotency>,
    ) -> Result<Accepted<Command>> {
        let lease = self.lease(ctx, sandbox).await?;
        self.begin_command(lease, spec, Purpose::Command, claim)
            .await
    }

    /// Records the command and starts it.
    pub(crate) async fn begin_command(
        &self,
        lease: Lease,
        spec: CommandSpec,
        purpose: Purpose,
        claim: Option<Idempotency>,
    ) -> Result<Accepted<Command>> {
        let id = CommandId::generate();
        let command = new_command(self.shared(), lease.live(), id, spec, purpose);
        start(self.shared(), lease, command, claim).answer().await
    }
}

/// A command that is being accepted in a task of its own.
pub(crate) struct Starting {
    pub(crate) live: Arc<LiveCommand>,
    answered: oneshot::Receiver<Result<Accepted<Command>>>,
}

impl Starting {
    /// When it runs, or has ended already.
    pub(crate) async fn answer(self) -> Result<Accepted<Command>> {
        self.answered.await.unwrap_or_else(|_| {
            Err(Error::new(
                pinfold_model::Code::Unavailable,
                "the server is shutting down; the command may have been accepted",
            ))
        })
    }
}

/// Starts a command under the id it has, once. It can be found from here on.
pub(crate) fn start(
    shared: &Arc<Shared>,
    lease: Lease,
    mut command: Command,
    claim: Option<Idempotency>,
) -> Starting {
    let input = command.spec.input.as_mut().map(Input::take);
    let sandbox = Arc::clone(lease.live());
    let start = start_spec(&sandbox, &command);
    let live = LiveCommand::new(command, Arc::clone(&sandbox), lease.life(), start);
    let live = Arc::new(live);
    let accepting = Accepting {
        shared: Arc::clone(shared),
        live: Arc::clone(&live),
    };
    // Before the record: whoever replays the key has to find the command to wait for.
    shared.registry.add_command(Arc::clone(&live));
    let (answer, answered) = oneshot::channel();
    sandbox.run(&shared.tasks, accepting.run(claim, input, lease, answer));
    Starting { live, answered }
}

/// A new command is recorded as starting: what follows takes no time worth another write.
pub(crate) fn new_command(
    shared: &Shared,
    live: &LiveSandbox,
    id: CommandId,
    spec: CommandSpec,
    purpose: Purpose,
) -> Command {
    Command {
        id,
        sandbox: live.id().clone(),
        project: live.project().clone(),
        purpose,
        spec,
        state: CommandState::Starting,
        cancel: None,
        created_at: shared.clock.now(),
        started_at: None,
        ended_at: None,
        last_seq: None,
        truncated: false,
    }
}

type Answer = oneshot::Sender<Result<Accepted<Command>>>;

/// A command that can be found and waited for, and is about to be recorded. In a task of its own,
/// so that a caller who goes away cannot leave a record without a process.
struct Accepting {
    shared: Arc<Shared>,
    live: Arc<LiveCommand>,
}

impl Accepting {
    async fn run(
        self,
        claim: Option<Idempotency>,
        input: Option<Arc<[u8]>>,
        lease: Lease,
        answer: Answer,
    ) {
        if let Some(input) = input.clone()
            && let Err(error) = self.keep(input).await
        {
            self.take_back(&self.live.command());
            let _ = answer.send(Err(error));
            return;
        }
        let command = self.live.command();
        let mut early = Early::new(&self.live, &lease, input);
        let commands = self.shared.store.commands();
        let inserted = early
            .beside(commands.insert(&command, claim.as_ref()))
            .await;
        match inserted {
            Ok(Inserted::New(_)) => self.begin(early, lease, answer).await,
            Ok(Inserted::Replay(known)) => {
                drop(early);
                self.take_back(&command);
                let value = as_it_is_now(&self.shared, known);
                // The one who asked may have gone.
                let _ = answer.send(Ok(Accepted {
                    value,
                    origin: Origin::Replay,
                }));
            }
            Err(error) => {
                drop(early);
                self.take_back(&command);
                let _ = answer.send(Err(error.into()));
            }
        }
    }

    /// Before the record: a command that was accepted has its input, whatever dies afterwards.
    async fn keep(&self, input: Arc<[u8]>) -> Result<()> {
        let (journals, id) = (self.shared.journals.clone(), self.live.id().clone());
        let keep = move || journals.keep_input(&id, &input);
        let kept = tokio::task::spawn_blocking(keep).await;
        kept.map_err(Error::internal)?.map_err(Error::internal)
    }

    fn take_back(&self, command: &Command) {
        self.shared.registry.remove_command(&command.id);
        if command.spec.input.is_some() {
            live::drop_input(&self.shared, &command.id);
        }
    }

    async fn begin(self, early: Early, lease: Lease, answer: Answer) {
        let live = Arc::clone(&self.live);
        let begun = move || {
            let _ = answer.send(Ok(Accepted {
                value: live.command(),
                origin: Origin::New,
            }));
        };
        let in_use = self.live.keeps_in_use().then(|| lease.into_use());
        live::supervise(
            self.shared,
            self.live,
            Birth::Fresh,
            early,
            in_use,
            Box::new(begun),
        )
        .await;
    }
}

/// Memory is ahead of the record.
fn as_it_is_now(shared: &Shared, recorded: Command) -> Command {
    match shared.registry.command(&recorded.id) {
        Some(live) => live.command(),
        None => recorded,
    }
}

/// The complete order for the guest: the command over the sandbox over the image.
pub(crate) fn start_spec(live: &LiveSandbox, command: &Command) -> StartSpec {
    let view = live.view();
    let (sandbox, spec) = (&view.sandbox.spec, &command.spec);
    let mut env = live.image().env.clone();
    env.extend(sandbox.env.clone());
    env.extend(live.secret_env().values().clone());
    env.extend(spec.env.clone());
    env.extend(spec.secret_env.values().clone());
    StartSpec {
        id: command.id.clone(),
        fingerprint: fingerprint(spec).to_vec(),
        program: spec.program.clone(),
        cwd: match &spec.cwd {
            Some(cwd) => absolute(&sandbox.workdir, cwd),
            None => sandbox.workdir.clone(),
        },
        // The sandbox's own working directory need not be in the image; one that a caller names
        // for a command has to exist.
        make_cwd: spec.cwd.is_none(),
        env,
        user: spec.user.clone().unwrap_or_else(|| sandbox.user.clone()),
        stdin: spec.stdin == pinfold_model::StdinMode::Open || spec.input.is_some(),
        input: Arc::default(),
        terminal: spec.tty,
        timeout: spec.timeout,
    }
}

/// `path` from `base` on, unless it is absolute by itself.
pub(crate) fn absolute(base: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn relative_paths_begin_at_the_base() {
        assert_eq!(absolute("/a", "b"), "/a/b");
        assert_eq!(absolute("/", "b"), "/b");
        assert_eq!(absolute("/a/", "./b"), "/a/./b");
        assert_eq!(absolute("/a", "/b"), "/b");
    }
}
