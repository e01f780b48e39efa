//! Takes what a guest tells and passes it to the commands it is about.

use std::sync::Arc;

use pinfold_model::CommandId;
use pinfold_runtime::guest::{Guest, GuestEvent};

use super::{LiveSandbox, supervise};
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
    let late = supervise::drain_late(Arc::clone(shared), guest.clone(), id);
    live.commands.spawn(shared.tasks.track_future(late));
}
