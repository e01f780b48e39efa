//! Connections to ports inside, kept behind a request without a body for the next request to the same
//! port of the same life of the same sandbox, and for nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use axum::body::Body;
use hyper::client::conn::http1::SendRequest;
use pinfold_model::SandboxId;

use crate::limits::Limits;

/// Sandbox, its life, port.
pub(crate) type Place = (SandboxId, u32, u16);

pub(crate) struct Pool {
    kept: Mutex<Kept>,
    limits: Limits,
}

#[derive(Default)]
struct Kept {
    by_place: HashMap<Place, Vec<Idle>>,
    total: usize,
    /// Whether a task looks after those that were kept for too long.
    watched: bool,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            kept: Mutex::default(),
            limits,
        }
    }

    /// The one that was used last, if any is fit for use.
    pub(crate) fn take(&self, place: &Place) -> Option<SendRequest<Body>> {
        let mut kept = self.kept();
        let idle = kept.by_place.get_mut(place)?;
        let mut taken = 0;
        let mut found = None;
        while let Some(next) = idle.pop() {
            taken += 1;
            let fresh = next.since.elapsed() < self.limits.idle;
            if fresh && next.sender.is_ready() {
                found = Some(next.sender);
                break;
            }
        }
        if idle.is_empty() {
            kept.by_place.remove(place);
        }
        kept.total -= taken;
        found
    }

    /// Keeps a connection that is ready for another request; beyond the bounds it closes.
    pub(crate) fn put(self: &Arc<Self>, place: Place, sender: SendRequest<Body>) {
        if !sender.is_ready() {
            return;
        }
        let mut kept = self.kept();
        if kept.total >= self.limits.idle_total {
            return;
        }
        let idle = kept.by_place.entry(place).or_default();
        if idle.len() >= self.limits.idle_per_port {
            return;
        }
        idle.push(Idle {
            sender,
            since: Instant::now(),
        });
        kept.total += 1;
        if !std::mem::replace(&mut kept.watched, true) {
            tokio::spawn(watch(Arc::downgrade(self), self.limits.idle / 2));
        }
    }

    /// Closes those that were kept for too long, or that the application closed; answers whether any
    /// are left.
    fn sweep(&self) -> bool {
        let mut kept = self.kept();
        let limit = self.limits.idle;
        for idle in kept.by_place.values_mut() {
            idle.retain(|idle| idle.since.elapsed() < limit && idle.sender.is_ready());
        }
        kept.by_place.retain(|_, idle| !idle.is_empty());
        kept.total = kept.by_place.values().map(Vec::len).sum();
        kept.watched = kept.total > 0;
        kept.watched
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic under this lock")
    }
}

/// Ends when nothing is kept any more.
async fn watch(pool: Weak<Pool>, every: std::time::Duration) {
    loop {
        tokio::time::sleep(every).await;
        match pool.upgrade() {
            Some(pool) if pool.sweep() => {}
            _ => return,
        }
    }
}
