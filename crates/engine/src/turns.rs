//! Turns at something costly: so many at a time, and of these so many of one owner's, so that
//! whoever has slow ones holds up nobody else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Turns<K> {
    all: Arc<Semaphore>,
    of_each: usize,
    /// Of owners who have or want one.
    owners: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// Lasts until it is dropped.
pub(crate) struct Turn {
    _of_owner: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl<K: Eq + Hash> Turns<K> {
    pub(crate) fn new(all: usize, of_each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            of_each,
            owners: Mutex::default(),
        }
    }

    /// Turns that no number of owners can use up: so many of one owner's, and no more is said.
    pub(crate) fn of_each(of_each: usize) -> Self {
        Self::new(Semaphore::MAX_PERMITS, of_each)
    }

    /// One that is free now.
    pub(crate) fn try_take(&self, owner: K) -> Option<Turn> {
        Some(Turn {
            _of_owner: self.of_owner(owner).try_acquire_owned().ok()?,
            _of_all: Arc::clone(&self.all).try_acquire_owned().ok()?,
        })
    }

    /// Waits for one of the owner's, then for one of everybody's.
    pub(crate) async fn take(&self, owner: K) -> Turn {
        let of_owner = self.of_owner(owner);
        Turn {
            _of_owner: permit(of_owner).await,
            _of_all: permit(Arc::clone(&self.all)).await,
        }
    }

    fn of_owner(&self, owner: K) -> Arc<Semaphore> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|_, turns| turns.strong_count() > 0);
        let turns = owners.entry(owner).or_default();
        turns.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(self.of_each));
            *turns = Arc::downgrade(&new);
            new
        })
    }
}

async fn permit(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("nobody closes it")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::Turns;

    #[test]
    fn one_owner_cannot_take_all_turns() {
        let turns = Turns::new(3, 2);
        let first = turns.take("a").now_or_never().expect("free");
        let _second = turns.take("a").now_or_never().expect("free");
        assert!(
            turns.take("a").now_or_never().is_none(),
            "a third of one owner's"
        );
        let _third = turns.take("b").now_or_never().expect("free");
        assert!(turns.take("b").now_or_never().is_none(), "a fourth of all");
        drop(first);
        assert!(turns.take("b").now_or_never().is_some(), "given back");
    }

    #[test]
    fn whoever_has_turns_of_many_owners_leaves_those_of_others() {
        let turns = Turns::of_each(1);
        let held: Vec<_> = (0..1000)
            .map(|owner| turns.try_take(owner).expect("free"))
            .collect();
        assert!(turns.try_take(7).is_none(), "somebody has it");
        assert!(turns.take(1000).now_or_never().is_some(), "another's");
        drop(held);
        assert!(turns.try_take(7).is_some(), "given back");
    }
}
