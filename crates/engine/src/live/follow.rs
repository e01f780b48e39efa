//! Takes what a guest tells and passes it to the commands it is about.

use std::sync::Arc;

use pinfold_model::{CommandId, limits};
use pinfold_runtime::guest::{Guest, GuestError, GuestEvent};
use pinfold_runtime::journal::Pump;

use super::LiveSandbox;
use crate::commands::find_journal;
use crate::engine::Shared;

/// Follows one link to its end, or to the end of this engine.
pub(super) async fn follow(shared: Arc<Shared>, live: Arc<LiveSandbox>, guest: Guest) {
    let mut events = guest.events();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = shared.ending.cancelled() => return,
        };
        let Some(GuestEvent::Exited { id, report }) = event else {
            return;
        };
        match shared.registry.command(&id) {
            Some(command) if command.sandbox().id() == live.id() => command.report(report),
            Some(_) => tracing::warn!(command = %id, "a guest reported another sandbox's command"),
            None => ended_before(&shared, &live, &guest, id),
        }
    }
}

/// A command that an earlier engine has recorded as ended: what its background children still
/// write is kept until they are done.
fn ended_before(shared: &Arc<Shared>, live: &Arc<LiveSandbox>, guest: &Guest, id: CommandId) {
    let late = drain_late(Arc::clone(shared), guest.clone(), id);
    live.commands.spawn(shared.tasks.track_future(late));
}

/// Keeps what the background children of a command write that an earlier engine saw end.
async fn drain_late(shared: Arc<Shared>, guest: Guest, id: CommandId) {
    let drained = async {
        let cap = limits::JOURNAL_DEFAULT_CAP_BYTES;
        // What follows is numbered behind its End, also where only its record knows of that.
        // The guest tells of it again behind the next link.
        if let Err(error) = find_journal(&shared.journals, &shared.store, &id).await {
            tracing::warn!(command = %id, %error, "late output waits");
            return Ok(());
        }
        if let Ok(writer) = shared.journals.reopen(&id, cap) {
            let pipes = guest.adopt(&id).await?;
            let pump = Pump::start(writer, pipes.stdout, pipes.stderr)?;
            tokio::select! {
                () = pump.closed() => {}
                () = guest.closed() => return Ok(()),
            }
        }
        guest.forget(&id).await
    };
    let result: Result<(), GuestError> = tokio::select! {
        result = drained => result,
        () = shared.ending.cancelled() => Ok(()),
    };
    if let Err(error) = result {
        tracing::debug!(command = %id, %error, "late output not kept");
    }
}
