//! Running the command that a sandbox is there for: begun behind the setup of each life, and when it ends the
//! owner ends the sandbox.
//!
//! It has an idempotency key of its life: the next server finds it, and waits for it.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{CommandState, SandboxState, SecretEnv};

use super::supervise::over;
use super::{Change, LiveSandbox, setup};
use crate::engine::Shared;

/// Before the second attempt to begin it; before each further one that much longer, up to the last.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

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
    let Some(main) = live.view().sandbox.spec.more.main.clone() else {
        return;
    };
    let mut pause = RETRY;
    loop {
        let key = format!("{}-main", main.lives);
        let ran = setup::command(shared, live, &main.program, key, SecretEnv::default()).await;
        let failed = match ran {
            // Its guest is gone, and the owner finds out what that means.
            Ok(ended) if ended.state == CommandState::Lost => return,
            Ok(_) => match live.change(Change::MainEnded(life)).await {
                Some(Err(error)) => error,
                Some(Ok(_)) | None => return,
            },
            Err(error) => error,
        };
        tracing::warn!(sandbox = %live.id(), error = %failed, "its main command is tried again");
        tokio::time::sleep(pause).await;
        pause = (pause + RETRY).min(RETRY_MAX);
        // What is frozen waits for its thaw.
        live.until(|sandbox| sandbox.state != SandboxState::Suspended)
            .await;
    }
}
