//! Those who have not logged in. Beyond the bound the one that has been here longest goes: a client that
//! means it is through in a moment, and a crowd that says nothing keeps nobody out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub(crate) struct Strangers {
    max: usize,
    here: Arc<Mutex<VecDeque<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    gone: CancellationToken,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Strangers,
    number: u64,
    gone: CancellationToken,
}

impl Strangers {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            here: Arc::default(),
        }
    }

    pub(crate) fn enter(&self) -> Stranger {
        let gone = CancellationToken::new();
        let mut here = self.here();
        if here.len() >= self.max
            && let Some(oldest) = here.pop_front()
        {
            oldest.gone.cancel();
        }
        let number = here.back().map_or(0, |last| last.number + 1);
        here.push_back(Entry {
            number,
            gone: gone.clone(),
        });
        drop(here);
        Stranger {
            all: self.clone(),
            number,
            gone,
        }
    }

    fn here(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.here.lock().expect("no panic under this lock")
    }
}

impl Stranger {
    /// Completes when it has to go.
    pub(crate) async fn must_go(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // One that had to go is in the list no more, and its number may be another's by now.
        if !self.gone.is_cancelled() {
            self.all.here().retain(|entry| entry.number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_for_the_newest() {
        let strangers = Strangers::new(2);
        let first = strangers.enter();
        let second = strangers.enter();
        assert!(!first.gone.is_cancelled());
        let third = strangers.enter();
        assert!(first.gone.is_cancelled() && !second.gone.is_cancelled());
        drop(first);
        drop(second);
        let fourth = strangers.enter();
        assert!(!third.gone.is_cancelled(), "there was room");
        drop((third, fourth));
        assert!(strangers.here().is_empty());
    }
}
