//! Doing what a sandbox's setup asks for, inside the sandbox.
//!
//! ```text
//! account -> files -> objects -> commands once -> commands of each start -> the owner records the end
//! ```
//! Nobody uses the sandbox before the end, so a server that dies amid writes them again. A command
//! has an idempotency key of the life and its place: the next server finds it, and waits for it.

mod account;
mod content;

use std::sync::Arc;

use pinfold_model::{
    Command, CommandId, CommandSpec, CommandState, Error, ExitStatus, Program, Purpose, Result,
};
use pinfold_store::Idempotency;

use super::{Change, Lease, LiveSandbox};
use crate::commands::{new_command, start};
use crate::engine::{Shared, fingerprint};

/// Of what a command wrote last, in the text of a failure.
const SHOWN_BYTES: u64 = 600;
const OPERATION: &str = "sandbox.setup";

/// Does all that is left and tells the owner.
pub(super) async fn run(shared: Arc<Shared>, live: Arc<LiveSandbox>, life: u32) {
    let ending = shared.ending.clone();
    let done = tokio::select! {
        biased;
        () = ending.cancelled() => return,
        done = steps(&shared, &live) => done,
    };
    // What went wrong may hold what a command wrote, which is for the sandbox's own people.
    let done = done.map_err(|error| error.message().to_owned());
    live.change(Change::SetUp(life, done)).await;
}

async fn steps(shared: &Arc<Shared>, live: &Arc<LiveSandbox>) -> Result<()> {
    let sandbox = live.view().sandbox;
    let setup = &sandbox.spec.more.setup;
    let lease = lease(shared, live).await?;
    if let Some(account) = &setup.account {
        account::ensure(lease.guest(), account)
            .await
            .map_err(|error| failed("the account could not be made", error))?;
    }
    for file in &setup.files {
        content::file(&lease, file).await?;
    }
    for object in &setup.objects {
        content::object(shared, &lease, object).await?;
    }
    drop(lease);
    let once = setup.once.iter().map(|program| ("once", program));
    let each = setup.each_start.iter().map(|program| ("start", program));
    for (place, (phase, program)) in once.chain(each).enumerate() {
        let key = format!("{}-{phase}-{place}", setup.lives);
        let ended = command(shared, live, program, key).await?;
        if ended.state != CommandState::Exited(ExitStatus::Code(0)) {
            return Err(unsuccessful(shared, place, &ended));
        }
    }
    Ok(())
}

async fn lease(shared: &Shared, live: &Arc<LiveSandbox>) -> Result<Lease> {
    live.lease(shared.config.attach_timeout).await
}

/// Runs one command to its end, once.
async fn command(
    shared: &Arc<Shared>,
    live: &Arc<LiveSandbox>,
    program: &Program,
    key: String,
) -> Result<Command> {
    let spec = CommandSpec::new(program.clone());
    let hash = fingerprint(&spec);
    let claim = Idempotency::new(live.project(), None, OPERATION, key, hash);
    let lease = lease(shared, live).await?;
    let id = CommandId::generate();
    let new = new_command(shared, live, id, spec, Purpose::Command);
    let started = start(shared, lease, new, Some(claim.in_sandbox(live.id())));
    let id = started.answer().await?.value.id;
    if let Some(running) = shared.registry.command(&id) {
        return Ok(running.ended().await);
    }
    let recorded = shared.store.commands().get(&id).await?;
    recorded.ok_or_else(|| Error::internal(format!("{id} of a setup is not recorded")))
}

fn unsuccessful(shared: &Shared, place: usize, ended: &Command) -> Error {
    let how = match ended.state.exit_status() {
        Some(status) => format!("ended with status {}", status.shell_code()),
        None => "was lost".to_owned(),
    };
    let wrote = last_output(shared, &ended.id);
    let text = format!("command {} of its setup {how}{wrote}", place + 1);
    Error::new(pinfold_model::Code::SandboxFailed, text)
}

fn last_output(shared: &Shared, id: &CommandId) -> String {
    let Ok(journal) = shared.journals.get(id) else {
        return String::new();
    };
    let tails = journal.tails(journal.status().last_seq, SHOWN_BYTES);
    let Ok(tails) = tails else {
        return String::new();
    };
    let bytes = match tails.stderr.is_empty() {
        true => tails.stdout,
        false => tails.stderr,
    };
    match String::from_utf8_lossy(&bytes).trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = format!("{what}: {error}");
    Error::new(pinfold_model::Code::SandboxFailed, text).because(error)
}
