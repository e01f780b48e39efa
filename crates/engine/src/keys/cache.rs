//! A short memory of keys that authenticated, so that a request does not cost a look-up.
//!
//! Revoking in this process takes effect at once, also against a look-up that is under way;
//! another server's revocation takes effect when the entry is over.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pinfold_model::{Key, KeyId, Time};

use crate::clock::later;

/// How long an entry is believed.
const KEPT: Duration = Duration::from_secs(10);
/// Entries at most; beyond, the cache starts anew.
const ENTRIES_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct KeyCache {
    entries: Mutex<HashMap<[u8; 32], (Key, Time)>>,
    revocations: AtomicU64,
}

impl KeyCache {
    pub(crate) fn get(&self, hash: &[u8; 32], now: Time) -> Option<Key> {
        let entries = self.entries.lock().expect("no panic under this lock");
        let (key, until) = entries.get(hash)?;
        (now < *until).then(|| key.clone())
    }

    /// Taken before a look-up and given to [`KeyCache::put`] after it.
    pub(crate) fn generation(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// Remembers what a look-up found, unless a key was revoked since it began.
    pub(crate) fn put(&self, hash: [u8; 32], key: Key, now: Time, generation: u64) {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        if self.generation() != generation {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(hash, (key, later(now, KEPT)));
    }

    pub(crate) fn forget(&self, id: &KeyId) {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        self.revocations.fetch_add(1, Ordering::AcqRel);
        entries.retain(|_, (key, _)| key.id != *id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{KeyKind, OrgId, ProjectId, Role};

    fn key() -> Key {
        Key {
            id: KeyId::generate(),
            org: OrgId::generate(),
            project: ProjectId::generate(),
            name: "k".into(),
            kind: KeyKind::User,
            role: Role::Member,
            scopes: pinfold_model::Scopes::All,
            suffix: String::new(),
            prefix: "pfk_".into(),
            quota: pinfold_model::Quota::UNBOUNDED,
            created_at: Time::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn entries_end_by_time_and_by_revocation() {
        let cache = KeyCache::default();
        let (key, now) = (key(), Time::UNIX_EPOCH);
        cache.put([1; 32], key.clone(), now, cache.generation());
        assert_eq!(cache.get(&[1; 32], now), Some(key.clone()));
        assert_eq!(cache.get(&[1; 32], later(now, KEPT)), None);
        cache.forget(&key.id);
        assert_eq!(cache.get(&[1; 32], now), None);
    }

    #[test]
    fn a_look_up_that_a_revocation_overtook_is_not_kept() {
        let cache = KeyCache::default();
        let (key, now) = (key(), Time::UNIX_EPOCH);
        let before = cache.generation();
        cache.forget(&key.id);
        cache.put([1; 32], key, now, before);
        assert_eq!(cache.get(&[1; 32], now), None);
    }
}
