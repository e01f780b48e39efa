//! A short memory of opened values, so that a request of a sandbox does not cost a look-up.
//!
//! A put or delete in this process takes effect at once, also against a look-up that is under way;
//! another server's takes effect when the entry is over.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinfold_model::{ProjectId, SecretValue};

/// How long an entry is believed.
const KEPT: Duration = Duration::from_secs(10);
/// Entries at most, each of up to 32 KiB; beyond, the cache starts anew.
const ENTRIES_MAX: usize = 256;

type Name = (ProjectId, String);

#[derive(Default)]
pub(super) struct SecretCache {
    entries: Mutex<HashMap<Name, (SecretValue, Instant)>>,
    changes: AtomicU64,
}

impl SecretCache {
    pub(super) fn get(&self, project: &ProjectId, name: &str, now: Instant) -> Option<SecretValue> {
        let entries = self.entries.lock().expect("no panic under this lock");
        let (value, until) = entries.get(&(project.clone(), name.to_owned()))?;
        (now < *until).then(|| value.clone())
    }

    /// Taken before a look-up and given to [`SecretCache::keep`] after it.
    pub(super) fn generation(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Remembers what a look-up found, unless a secret has changed since it began.
    pub(super) fn keep(
        &self,
        project: &ProjectId,
        name: &str,
        value: SecretValue,
        now: Instant,
        generation: u64,
    ) {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        if self.generation() != generation {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        let name = (project.clone(), name.to_owned());
        entries.insert(name, (value, now + KEPT));
    }

    pub(super) fn forget(&self, project: &ProjectId, name: &str) {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        self.changes.fetch_add(1, Ordering::AcqRel);
        entries.remove(&(project.clone(), name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::new(text.to_owned()).expect("valid")
    }

    #[test]
    fn entries_end_by_time_and_by_a_change() {
        let (cache, project, now) = (
            SecretCache::default(),
            ProjectId::generate(),
            Instant::now(),
        );
        cache.keep(&project, "a", value("v"), now, cache.generation());
        assert_eq!(cache.get(&project, "a", now), Some(value("v")));
        assert_eq!(cache.get(&project, "b", now), None);
        assert_eq!(cache.get(&ProjectId::generate(), "a", now), None);
        assert_eq!(cache.get(&project, "a", now + KEPT), None);
        cache.forget(&project, "a");
        assert_eq!(cache.get(&project, "a", now), None);
    }

    #[test]
    fn a_look_up_that_a_change_overtook_is_not_kept() {
        let (cache, project, now) = (
            SecretCache::default(),
            ProjectId::generate(),
            Instant::now(),
        );
        let before = cache.generation();
        cache.forget(&project, "a");
        cache.keep(&project, "a", value("old"), now, before);
        assert_eq!(cache.get(&project, "a", now), None);
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let (cache, project, now) = (
            SecretCache::default(),
            ProjectId::generate(),
            Instant::now(),
        );
        for n in 0..=ENTRIES_MAX {
            cache.keep(
                &project,
                &n.to_string(),
                value("v"),
                now,
                cache.generation(),
            );
            let entries = cache
                .entries
                .lock()
                .expect("no panic under this lock")
                .len();
            assert!(entries <= ENTRIES_MAX, "{entries}");
        }
    }
}
