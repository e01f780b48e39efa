//! Running a command once whose id was recorded beforehand with what wants it: a server that comes later, be it
//! weeks, finds that id, and waits for what has it.

use std::sync::Arc;

use pinfold_model::{Command, CommandId, CommandSpec, Error, Purpose, Result};

use super::LiveSandbox;
use crate::commands::{new_command, start};
use crate::engine::Shared;

/// To its end; begins it where nobody has.
pub(super) async fn run(
    shared: &Arc<Shared>,
    live: &Arc<LiveSandbox>,
    id: CommandId,
    spec: CommandSpec,
) -> Result<Command> {
    if shared.store.commands().get(&id).await?.is_none() {
        let lease = live.lease(shared.config.attach_timeout).await?;
        let new = new_command(shared, live, id.clone(), spec, Purpose::Command);
        start(shared, lease, new, None).answer().await?;
    }
    if let Some(running) = shared.registry.command(&id) {
        return Ok(running.ended().await);
    }
    let recorded = shared.store.commands().get(&id).await?;
    // One that is recorded and nobody follows (its record was said to have failed) is the next server's.
    let ended = recorded.filter(|command| command.state.is_terminal());
    ended.ok_or_else(|| Error::internal(format!("{id} is not followed")))
}
