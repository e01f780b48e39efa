//! Who is attached to terminals with a name, and what becomes of those that nobody comes back to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{StreamExt, stream};
use pinfold_model::command::CancelMode;
use pinfold_model::{CommandId, Result, SandboxId, SandboxState, Time, WindowSize};
use pinfold_store::NamedCommand;

use crate::clock::{Clock, later};
use crate::engine::Shared;
use crate::turns::{Turn, Turns};

/// How long a terminal with a name runs on while nobody is attached.
pub const TERMINAL_IDLE: Duration = Duration::from_secs(3600);
/// How long a shell may take to end by itself when it is hung up.
const HANG_UP: Duration = Duration::from_secs(2);
/// Forsaken terminals that are ended at once, over all sandboxes.
const ENDED_AT_ONCE: usize = 16;
/// How long ending one of them may take, with a guest that does not answer.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const SIGHUP: i32 = 1;

/// What is known of terminals with a name beside their rows.
pub(crate) struct Terminals {
    turns: Turns<SandboxId>,
    pub(super) places: Places,
}

impl Terminals {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            turns: Turns::of_each(1),
            places: Places {
                all: Arc::default(),
                clock,
            },
        }
    }

    /// Whoever opens one in a sandbox waits for those who do so there.
    pub(super) async fn turn(&self, sandbox: &SandboxId) -> Turn {
        self.turns.take(sandbox.clone()).await
    }

    fn free_turn(&self, sandbox: &SandboxId) -> Option<Turn> {
        self.turns.try_take(sandbox.clone())
    }
}

/// By the terminal's command. As many as terminals with a name that run here, but for those that
/// ended since the last sweep.
pub(super) struct Places {
    all: Arc<Mutex<HashMap<CommandId, State>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    attached: bool,
    /// When the last one left, or it was first seen.
    since: Time,
    /// The last record that somebody was shown.
    shown: u64,
    size: Option<WindowSize>,
}

impl State {
    const fn new(now: Time) -> Self {
        Self {
            attached: false,
            since: now,
            shown: 0,
            size: None,
        }
    }
}

impl Places {
    /// `None` while somebody has it.
    pub(super) fn take(&self, id: &CommandId, now: Time) -> Option<Place> {
        let mut all = lock(&self.all);
        let state = all.entry(id.clone()).or_insert_with(|| State::new(now));
        if std::mem::replace(&mut state.attached, true) {
            return None;
        }
        Some(Place {
            id: id.clone(),
            shown: state.shown,
            all: Arc::clone(&self.all),
            clock: Arc::clone(&self.clock),
        })
    }

    pub(super) fn look(&self, id: &CommandId) -> (bool, Option<WindowSize>) {
        let state = lock(&self.all).get(id).copied();
        state.map_or((false, None), |state| (state.attached, state.size))
    }

    pub(super) fn resized(&self, id: &CommandId, size: WindowSize, now: Time) {
        let mut all = lock(&self.all);
        let state = all.entry(id.clone()).or_insert_with(|| State::new(now));
        state.size = Some(size);
    }

    /// Whether nobody was attached for [`TERMINAL_IDLE`].
    fn is_forsaken(&self, id: &CommandId, now: Time) -> bool {
        let mut all = lock(&self.all);
        let state = all.entry(id.clone()).or_insert_with(|| State::new(now));
        !state.attached && later(state.since, TERMINAL_IDLE) <= now
    }

    /// Forgets those that `runs` does not know.
    fn retain(&self, runs: impl Fn(&CommandId) -> bool) {
        lock(&self.all).retain(|id, state| state.attached || runs(id));
    }
}

/// Being attached to a terminal; ends when it is dropped.
pub(super) struct Place {
    id: CommandId,
    shown: u64,
    all: Arc<Mutex<HashMap<CommandId, State>>>,
    clock: Arc<dyn Clock>,
}

impl Place {
    /// The last record that somebody was shown.
    pub(super) fn from(&self) -> u64 {
        self.shown
    }

    pub(super) fn shown(&mut self, seq: u64) {
        self.shown = seq;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.clock.now();
        if let Some(state) = lock(&self.all).get_mut(&self.id) {
            state.attached = false;
            state.since = now;
            state.shown = self.shown;
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.id).finish()
    }
}

fn lock(all: &Mutex<HashMap<CommandId, State>>) -> MutexGuard<'_, HashMap<CommandId, State>> {
    all.lock().expect("no panic under this lock")
}

/// As when a terminal is closed: its foreground is hung up, and what is left of it a moment later is
/// killed, with everything it started.
pub(super) async fn hang_up(shared: &Shared, id: &CommandId) {
    let Some(live) = shared.registry.command(id) else {
        return;
    };
    if live.signal(SIGHUP).await.is_ok() {
        let _ = tokio::time::timeout(HANG_UP, live.ended()).await;
    }
    if live.note_cancel(CancelMode::Force).state.is_terminal() {
        return;
    }
    let commands = shared.store.commands();
    if let Err(error) = commands.set_cancel(id, CancelMode::Force).await {
        tracing::warn!(command = %id, %error, "the end of a terminal is not recorded");
    }
    if let Err(error) = live.cancel(CancelMode::Force).await {
        tracing::debug!(command = %id, %error, "a terminal was not killed");
    }
}

/// Ends terminals with a name that nobody has come back to, and forgets names of those that ended.
pub(crate) async fn reconcile(shared: &Shared) -> Result<()> {
    let terminals = shared.store.terminals();
    let mut forsaken = Vec::new();
    for sandbox in shared.registry.sandboxes() {
        // What is frozen hears nothing.
        if sandbox.view().sandbox.state != SandboxState::Running {
            continue;
        }
        // Nobody is between giving a name and starting its command; where somebody is, the next time
        // is early enough.
        let Some(_turn) = shared.terminals.free_turn(sandbox.id()) else {
            continue;
        };
        for named in terminals.list(sandbox.id()).await? {
            let live = shared.registry.command(&named.command);
            if live.is_none_or(|live| live.has_ended()) {
                terminals.delete(&named).await?;
            } else if is_forsaken(shared, &named) {
                forsaken.push(named);
            }
        }
    }
    stream::iter(forsaken)
        .for_each_concurrent(ENDED_AT_ONCE, |named| end(shared, named))
        .await;
    let known = |id: &CommandId| shared.registry.command(id).is_some();
    shared.terminals.places.retain(known);
    let purged = terminals.purge().await?;
    tracing::debug!(purged, "names of terminals");
    Ok(())
}

/// Ends one that nobody has come back to, also not while others were ended.
async fn end(shared: &Shared, named: NamedCommand) {
    if !is_forsaken(shared, &named) {
        return;
    }
    let ended = tokio::time::timeout(ENDED_WITHIN, hang_up(shared, &named.command)).await;
    if ended.is_err() {
        // It has its name still, so the next turn finds it again.
        tracing::warn!(command = %named.command, "a forsaken terminal has not ended in time");
        return;
    }
    if let Err(error) = shared.store.terminals().delete(&named).await {
        tracing::warn!(command = %named.command, %error, "a terminal's name is kept");
    }
}

fn is_forsaken(shared: &Shared, named: &NamedCommand) -> bool {
    let places = &shared.terminals.places;
    places.is_forsaken(&named.command, shared.clock.now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn one_is_attached_at_a_time_and_goes_on_where_the_last_one_left() {
        let terminals = Terminals::new(Arc::new(SystemClock));
        let places = &terminals.places;
        let (id, now) = (CommandId::generate(), terminals.places.clock.now());
        let mut first = places.take(&id, now).expect("free");
        assert_eq!(first.from(), 0);
        assert!(places.take(&id, now).is_none());
        assert!(places.look(&id).0);
        first.shown(7);
        drop(first);
        let second = places.take(&id, now).expect("free again");
        assert_eq!(second.from(), 7);
        assert!(!places.is_forsaken(&id, later(now, TERMINAL_IDLE * 2)));
        drop(second);
        let left = places.clock.now();
        assert!(!places.is_forsaken(&id, left));
        assert!(places.is_forsaken(&id, later(left, TERMINAL_IDLE)));
        places.retain(|_| false);
        assert_eq!(places.take(&id, now).expect("forgotten").from(), 0);
    }
}
