//! Whose each session is. The sessions themselves are the protocol library's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

/// Of one key. Clients that vanish leave theirs behind, so a new one ends the one that was used the
/// longest time ago, and one with a call under way only where all have one.
const SESSIONS_MAX: usize = 32;
/// Without a message in either direction. Longer than any call without progress takes.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// The library's sessions, with our bounds.
pub(super) fn manager() -> LocalSessionManager {
    let mut manager = LocalSessionManager::default();
    manager.session_config.keep_alive = Some(IDLE_MAX);
    manager
}

#[derive(Debug)]
pub(super) struct Sessions {
    manager: Arc<LocalSessionManager>,
    owned: Mutex<HashMap<String, Owned>>,
}

#[derive(Debug)]
struct Owned {
    owner: String,
    used: Instant,
    /// Held by each request that is under way.
    requests: Arc<()>,
}

/// A session that a request may use, and uses for as long as it holds this.
#[derive(Debug, Clone)]
pub(super) struct Using {
    id: String,
    _request: Arc<()>,
}

impl Sessions {
    pub(super) fn new(manager: Arc<LocalSessionManager>) -> Self {
        Self {
            manager,
            owned: Mutex::default(),
        }
    }

    /// The session, if it is this owner's.
    pub(super) fn find(&self, id: &str, owner: &str) -> Option<Using> {
        let mut owned = self.owned();
        let session = owned.get_mut(id).filter(|session| session.owner == owner)?;
        session.used = Instant::now();
        Some(Using {
            id: id.to_owned(),
            _request: Arc::clone(&session.requests),
        })
    }

    pub(super) fn ended(&self, session: Using) {
        self.owned().remove(&session.id);
    }

    /// Remembers a new one; ends the owner's oldest where there are too many.
    pub(super) async fn begun(&self, id: &str, owner: &str) {
        self.forget_ended().await;
        let one_too_many = self.remember(id, owner);
        if let Some(id) = one_too_many
            && let Err(error) = self.manager.close_session(&id.into()).await
        {
            tracing::debug!(%error, "a session could not be ended");
        }
    }

    /// The library ends sessions by itself, when they are idle.
    async fn forget_ended(&self) {
        let live = self.manager.sessions.read().await;
        self.owned().retain(|id, _| live.contains_key(id.as_str()));
    }

    fn remember(&self, id: &str, owner: &str) -> Option<String> {
        let mut owned = self.owned();
        let its = owned.iter().filter(|(_, session)| session.owner == owner);
        let oldest = match its.clone().count() {
            0..SESSIONS_MAX => None,
            _ => its
                .min_by_key(|(_, session)| {
                    let is_in_use = Arc::strong_count(&session.requests) > 1;
                    (is_in_use, session.used)
                })
                .map(|(id, _)| id.clone()),
        };
        if let Some(oldest) = &oldest {
            owned.remove(oldest);
        }
        let session = Owned {
            owner: owner.to_owned(),
            used: Instant::now(),
            requests: Arc::default(),
        };
        owned.insert(id.to_owned(), session);
        oldest
    }

    fn owned(&self) -> MutexGuard<'_, HashMap<String, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_owners_alone() {
        let sessions = Sessions::new(Arc::new(manager()));
        assert_eq!(sessions.remember("s", "a"), None);
        assert!(sessions.find("s", "b").is_none());
        assert!(sessions.find("t", "a").is_none());
        let session = sessions.find("s", "a").expect("its own");
        sessions.ended(session);
        assert!(sessions.find("s", "a").is_none());
    }

    #[test]
    fn one_too_many_ends_the_one_unused_for_longest_of_that_owner() {
        let sessions = Sessions::new(Arc::new(manager()));
        sessions.remember("other", "b");
        for n in 0..SESSIONS_MAX {
            assert_eq!(sessions.remember(&format!("s{n}"), "a"), None);
        }
        assert!(sessions.find("s0", "a").is_some());
        assert_eq!(sessions.remember("new", "a").as_deref(), Some("s1"));
        assert!(sessions.find("s0", "a").is_some() && sessions.find("other", "b").is_some());
        // What is in use stays, however long ago it began.
        let _call = sessions.find("s2", "a").expect("its own");
        for n in 3..SESSIONS_MAX {
            assert!(sessions.find(&format!("s{n}"), "a").is_some());
        }
        assert!(sessions.find("s0", "a").is_some());
        assert_eq!(sessions.remember("newer", "a").as_deref(), Some("new"));
        assert_eq!(sessions.remember("newest", "a").as_deref(), Some("s3"));
    }

    #[tokio::test]
    async fn what_the_library_ended_is_forgotten() {
        let sessions = Sessions::new(Arc::new(manager()));
        sessions.remember("gone", "a");
        sessions.begun("new", "a").await;
        assert!(sessions.find("gone", "a").is_none());
    }
}
