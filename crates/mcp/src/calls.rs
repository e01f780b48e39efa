//! How many calls are under way, each owner's counted apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Calls of one owner at once; more are refused, since a queue would only hide that.
pub(crate) const CALLS_MAX: usize = 32;

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    running: Arc<Mutex<HashMap<String, usize>>>,
    all: TaskTracker,
}

/// A call under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    owner: String,
    _one: TaskTrackerToken,
}

impl Calls {
    /// `None` where the owner has as many as it may.
    pub(crate) fn begin(&self, owner: &str) -> Option<Call> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(owner.to_owned()).or_default();
        if *count >= CALLS_MAX {
            return None;
        }
        *count += 1;
        Some(Call {
            calls: self.clone(),
            owner: owner.to_owned(),
            _one: self.all.token(),
        })
    }

    /// Waits until no call is under way, at most so long.
    pub(crate) async fn ended(&self, patience: Duration) {
        self.all.close();
        if tokio::time::timeout(patience, self.all.wait())
            .await
            .is_err()
        {
            tracing::warn!(calls = self.all.len(), "calls were cut off");
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let running = &self.calls.running;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_owner_has_its_own_places_and_leaves_none_behind() {
        let calls = Calls::default();
        let held: Vec<_> = (0..CALLS_MAX).map(|_| calls.begin("a")).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(calls.begin("a").is_none());
        assert!(calls.begin("b").is_some());
        drop(held);
        assert!(calls.begin("a").is_some());
        assert!(calls.running.lock().expect("no panic").is_empty());
        calls.ended(Duration::from_secs(60)).await;
    }
}
