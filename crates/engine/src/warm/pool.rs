//! What is warm, and what ought to be.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinfold_model::{ImageId, SandboxId, Time};
use pinfold_runtime::driver::BootSpec;
use pinfold_runtime::guest::Guest;
use tokio::sync::Notify;

use crate::clock::until;

/// A shape that no create has asked for in this time is not kept warm any longer.
const KEPT: Duration = Duration::from_secs(600);

/// At most so many sandboxes, of the shapes that were asked for last.
pub(crate) struct Pool {
    limit: usize,
    state: Mutex<State>,
    ids: Ids,
    changed: Notify,
}

/// Sandboxes that are the pool's: being booted, ready, on their way to an owner or to their end.
type Ids = Arc<Mutex<HashSet<SandboxId>>>;

#[derive(Default)]
struct State {
    /// The one that was asked for last comes first.
    shapes: Vec<Shape>,
    /// To be destroyed.
    waste: Vec<Primed>,
    asked: Option<Instant>,
}

/// What makes warm sandboxes alike.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// The layers alone would not do: those of an image that has been removed may come back, and
    /// what was booted from them before stands on nothing.
    pub(super) image: ImageId,
    /// Its id and hostname are those of whoever asked, and count for nothing.
    pub(super) boot: BootSpec,
}

struct Shape {
    kind: Kind,
    asked_at: Time,
    ready: Vec<Primed>,
}

/// A guest that nobody has used.
#[derive(Debug)]
pub(super) struct Primed {
    guest: Guest,
    claim: Claim,
}

/// Says that a sandbox without a record is no orphan, for as long as this lives.
#[derive(Debug)]
pub(super) struct Claim {
    id: SandboxId,
    ids: Ids,
}

/// What the keeper has to do next.
pub(super) enum Step {
    Boot(Box<Kind>, Claim),
    Destroy(Primed),
    /// Wait: creates may still come.
    Pause(Duration),
    /// Nothing, until something changes or has to be given up.
    Rest,
}

impl Primed {
    pub(super) fn new(claim: Claim, guest: Guest) -> Self {
        Self { guest, claim }
    }

    pub(super) fn id(&self) -> &SandboxId {
        &self.claim.id
    }

    /// Whoever calls this owns the sandbox, and has to be in the registry by then.
    pub(super) fn into_guest(self) -> Guest {
        self.guest
    }
}

impl Claim {
    fn new(ids: &Ids) -> Self {
        let id = SandboxId::generate();
        lock(ids).insert(id.clone());
        Self {
            id,
            ids: Arc::clone(ids),
        }
    }

    pub(super) fn id(&self) -> &SandboxId {
        &self.id
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.ids).remove(&self.id);
    }
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            ids: Ids::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.limit == 0
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> usize {
        lock(&self.state).ready()
    }

    /// Whether a sandbox that no record names is one of these.
    pub(crate) fn holds(&self, id: &SandboxId) -> bool {
        lock(&self.ids).contains(id)
    }

    /// One that is ready.
    pub(super) fn take(&self, kind: &Kind) -> Option<Primed> {
        let mut state = lock(&self.state);
        let shape = state.shapes.iter_mut().find(|shape| shape.is(kind))?;
        let last = shape.ready.iter().rposition(|one| !one.guest.is_closed())?;
        let taken = shape.ready.swap_remove(last);
        state.tell();
        Some(taken)
    }

    /// A create of that kind was accepted, and only that makes it be kept warm: who is refused changes
    /// nothing for others.
    pub(super) fn asked(&self, kind: Kind, now: Time) {
        let mut state = lock(&self.state);
        state.asked = Some(Instant::now());
        let known = state.shapes.iter().position(|shape| shape.is(&kind));
        let mut shape = match known {
            Some(at) => state.shapes.remove(at),
            None => Shape {
                kind,
                asked_at: now,
                ready: Vec::new(),
            },
        };
        shape.asked_at = now;
        state.shapes.insert(0, shape);
        drop(state);
        self.changed.notify_one();
    }

    /// One that was taken, and of which nobody knows what it is now.
    pub(super) fn discard(&self, primed: Primed) {
        lock(&self.state).waste.push(primed);
        self.changed.notify_one();
    }

    /// One that nobody has.
    pub(super) fn add(&self, kind: &Kind, primed: Primed) {
        let mut state = lock(&self.state);
        match state.shapes.iter_mut().find(|shape| shape.is(kind)) {
            Some(shape) => shape.ready.push(primed),
            None => state.waste.push(primed),
        }
        state.tell();
    }

    /// A shape that does not boot.
    pub(super) fn forget(&self, kind: &Kind) {
        let mut state = lock(&self.state);
        let gone = state.shapes.extract_if(.., |shape| shape.is(kind));
        let left: Vec<_> = gone.flat_map(|shape| shape.ready).collect();
        state.waste.extend(left);
        state.tell();
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Everything there is.
    pub(super) fn close(&self) -> Vec<Primed> {
        let mut state = lock(&self.state);
        let shapes = std::mem::take(&mut state.shapes);
        let mut left = std::mem::take(&mut state.waste);
        left.extend(shapes.into_iter().flat_map(|shape| shape.ready));
        state.tell();
        left
    }

    pub(super) fn next(&self, now: Time, quiet: Duration) -> Step {
        let mut state = lock(&self.state);
        state.sort_out(now, self.limit);
        if let Some(primed) = state.waste.pop() {
            state.tell();
            return Step::Destroy(primed);
        }
        let share = state.share(self.limit);
        let Some(shape) = state.shapes.iter().find(|shape| shape.ready.len() < share) else {
            return Step::Rest;
        };
        let since = state.asked.map_or(Duration::MAX, |asked| asked.elapsed());
        match quiet.checked_sub(since) {
            Some(left) if !left.is_zero() => Step::Pause(left),
            _ => Step::Boot(Box::new(shape.kind.clone()), Claim::new(&self.ids)),
        }
    }
}

impl State {
    /// How many of each shape are kept: the limit shared out, and one at least.
    fn share(&self, limit: usize) -> usize {
        (limit / self.shapes.len().max(1)).max(1)
    }

    /// Puts aside what died, what nobody asks for any more, and what is over the share.
    fn sort_out(&mut self, now: Time, limit: usize) {
        let mut shapes = std::mem::take(&mut self.shapes);
        let mut kept = 0;
        let over = shapes.extract_if(.., |shape| {
            kept += 1;
            kept > limit || until(shape.asked_at, now) > KEPT
        });
        self.waste.extend(over.flat_map(|shape| shape.ready));
        self.shapes = shapes;
        let share = self.share(limit);
        for shape in &mut self.shapes {
            let dead = shape.ready.extract_if(.., |one| one.guest.is_closed());
            self.waste.extend(dead);
            let surplus = shape.ready.len().saturating_sub(share);
            self.waste.extend(shape.ready.drain(..surplus));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    fn tell(&self) {
        metrics::gauge!("pinfold_warm_sandboxes").set(self.ready() as f64);
    }

    fn ready(&self) -> usize {
        self.shapes.iter().map(|shape| shape.ready.len()).sum()
    }
}

impl Shape {
    fn is(&self, kind: &Kind) -> bool {
        let mine = &self.kind.boot;
        let same = BootSpec {
            id: mine.id.clone(),
            hostname: mine.hostname.clone(),
            ..kind.boot.clone()
        };
        self.kind.image == kind.image && same == *mine
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
