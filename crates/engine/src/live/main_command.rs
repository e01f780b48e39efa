//! Running the command that a sandbox is there for: begun behind the setup of each life, and when it ends the
//! owner ends the sandbox.
//!
//! Its id is recorded with the sandbox before it starts: the next server, be it weeks later, finds it and waits for it.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{CommandSpec, CommandState, Result, SandboxState};

use super::pauses::Pauses;
use super::supervise::over;
use super::{Change, LiveSandbox, once};
use crate::engine::Shared;

/// How long the owner may take to find out that the guest is gone, of whose command nothing is known.
const GUEST_PATIENCE: Duration = Duration::from_secs(10);

/// Follows it to its end, the end of this life, or that of this engine.
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
    loop {
        let Err(error) = to_its_end(shared, live, life).await else {
            return;
        };
        tracing::warn!(sandbox = %live.id(), %error, "its main command is tried again");
        pauses.next().await;
        // What is frozen waits for its thaw.
        live.until(|sandbox| sandbox.state != SandboxState::Suspended)
            .await;
    }
}

async fn to_its_end(shared: &Arc<Shared>, live: &Arc<LiveSandbox>, life: u32) -> Result<()> {
    let Some(begins) = live.change(Change::MainBegins(life)).await else {
        return Ok(());
    };
    let Some(main) = begins?.spec.more.main else {
        return Ok(());
    };
    // None where another life has begun since, which has a task of its own.
    let Some(id) = main.command else {
        return Ok(());
    };
    let ended = once::run(shared, live, id, CommandSpec::new(main.program)).await?;
    // What the loss of a guest means is the owner's to find out. One that was lost beside it has ended.
    if ended.state == CommandState::Lost {
        tokio::time::sleep(GUEST_PATIENCE).await;
    }
    let told = live.change(Change::MainEnded(life)).await;
    told.map_or(Ok(()), |told| told.map(|_| ()))
}
