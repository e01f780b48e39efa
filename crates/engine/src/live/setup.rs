//! Doing what a sandbox's setup asks for, inside the sandbox.
//!
//! ```text
//! account -> files -> objects -> commands once -> commands of each start -> the owner records the end
//! ```
//! What is written is written before any command: a server that dies amid writes all of it again, one that
//! dies behind the first command does not. The id of each command is recorded before it starts: the next
//! server finds it, and waits for it. What a busy store or an unreachable guest keeps from
//! happening is tried again; what a command or its input is to blame for is not.

mod account;
mod content;
mod zip;

use std::sync::Arc;

use pinfold_model::sandbox::EndReason;
use pinfold_model::{
    Code, Command, CommandId, CommandSpec, CommandState, Error, ErrorKind, ExitStatus, Program,
    Result, SandboxState, Setup,
};
use pinfold_runtime::guest::GuestError;

use super::pauses::Pauses;
use super::supervise::over;
use super::{Change, Lease, LiveSandbox, once};
use crate::engine::Shared;
use crate::secrets::setup_env;

/// Of what a command wrote last, in the text of a failure.
const SHOWN_BYTES: u64 = 600;
/// How often what may pass is tried. That it is over is told until it is recorded.
const ATTEMPTS: u32 = 8;

/// Does all that is left and tells the owner. Outlives a suspend, and nothing else.
pub(super) async fn run(shared: Arc<Shared>, live: Arc<LiveSandbox>, life: u32) {
    let (ending, mut view) = (shared.ending.clone(), live.watch());
    tokio::select! {
        biased;
        () = ending.cancelled() => {}
        () = over(&mut view, life) => {}
        () = until_told(&shared, &live, life) => {}
    }
}

async fn until_told(shared: &Arc<Shared>, live: &Arc<LiveSandbox>, life: u32) {
    let mut pauses = Pauses::default();
    for attempt in 1.. {
        let error = match steps(shared, live, life).await {
            Err(error) if attempt < ATTEMPTS && may_pass(&error) => error,
            done => {
                // What went wrong may hold what a command wrote, which is for the sandbox's own people.
                let done = done.map_err(|error| (reason(&error), error.message().to_owned()));
                match live.change(Change::SetUp(life, done)).await {
                    Some(Err(error)) => error,
                    Some(Ok(_)) | None => return,
                }
            }
        };
        tracing::warn!(sandbox = %live.id(), code = %error.code(), attempt, "its setup is tried again");
        pauses.next().await;
        // What is frozen waits for its thaw.
        live.until(|sandbox| sandbox.state != SandboxState::Suspended)
            .await;
    }
}

fn reason(error: &Error) -> EndReason {
    match error.code() {
        Code::DiskFull => EndReason::OutOfDisk,
        _ => EndReason::BootFailed,
    }
}

/// Whether the same may well succeed a moment later.
fn may_pass(error: &Error) -> bool {
    error.code() == Code::SandboxNotRunning
        || matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal
        )
}

async fn steps(shared: &Arc<Shared>, live: &Arc<LiveSandbox>, life: u32) -> Result<()> {
    let sandbox = live.view().sandbox;
    let setup = &sandbox.spec.more.setup;
    let reached = setup.reached.as_ref().map(|reached| reached.place);
    let writes = setup.account.is_some() || !setup.files.is_empty() || !setup.objects.is_empty();
    if writes && reached.is_none() {
        write(shared, live, setup).await?;
    }
    let commands = setup.once.iter().chain(&setup.each_start).enumerate();
    for (place, program) in commands.skip(reached.unwrap_or_default()) {
        let ended = command(shared, live, life, place, program).await?;
        if ended.state != CommandState::Exited(ExitStatus::Code(0)) {
            return Err(unsuccessful(shared, place, &ended));
        }
    }
    Ok(())
}

/// Account, files, contents of objects. Commands may change them, so never behind one.
async fn write(shared: &Shared, live: &Arc<LiveSandbox>, setup: &Setup) -> Result<()> {
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
    Ok(())
}

async fn lease(shared: &Shared, live: &Arc<LiveSandbox>) -> Result<Lease> {
    live.lease(shared.config.attach_timeout).await
}

/// Runs one to its end. Nobody starts one whose environment is kept sealed but the engine that accepted it: one
/// that was never started is lost with that engine, and another one takes its place.
async fn command(
    shared: &Arc<Shared>,
    live: &Arc<LiveSandbox>,
    life: u32,
    place: usize,
    program: &Program,
) -> Result<Command> {
    let spec = CommandSpec {
        secret_env: setup_env(shared, &live.view().sandbox, place)?,
        ..CommandSpec::new(program.clone())
    };
    let is_sealed = !spec.secret_env.values().is_empty();
    let (mut lost, mut attempts) = (None, ATTEMPTS);
    loop {
        let reaches = Change::SetupReaches { life, place, lost };
        let reached = live.change(reaches).await.ok_or_else(over_meanwhile)??;
        let reached = reached.spec.more.setup.reached;
        let reached = reached.filter(|reached| reached.place == place);
        let id = reached.ok_or_else(over_meanwhile)?.command;
        let ended = once::run(shared, live, id.clone(), spec.clone()).await?;
        attempts -= 1;
        if ended.state != CommandState::Lost || !is_sealed || attempts == 0 {
            return Ok(ended);
        }
        lost = Some(id);
    }
}

/// Nobody hears it: the task of a setup ends with its life.
fn over_meanwhile() -> Error {
    Error::new(Code::SandboxNotRunning, "this life of the sandbox is over")
}

fn unsuccessful(shared: &Shared, place: usize, ended: &Command) -> Error {
    let how = match ended.state.exit_status() {
        Some(status) => format!("ended with status {}", status.shell_code()),
        None => "was lost".to_owned(),
    };
    let wrote = last_output(shared, &ended.id);
    let text = format!("command {} of its setup {how}{wrote}", place + 1);
    Error::new(Code::SandboxFailed, text)
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

/// Says what could not be done, and stays the kind of fault that it is.
fn failed(what: &str, error: GuestError) -> Error {
    let error = crate::errors::guest_error(error);
    let text = format!("{what}: {}", error.message());
    Error::new(error.code(), text).because(error)
}
