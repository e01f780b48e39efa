//! Who is logged in over SSH, so that what ends a key ends those who came in with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use pinfold_model::{KeyId, SandboxId, SshKey, SshKeyId};
use tokio_util::sync::CancellationToken;

/// As many as the gateway has connections.
#[derive(Clone, Default)]
pub(crate) struct Logins(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    sandbox: SandboxId,
    key: SshKeyId,
    made_by: Option<KeyId>,
    over: CancellationToken,
}

/// One login; it leaves the table when it is dropped.
pub(super) struct Listed {
    logins: Logins,
    number: u64,
    over: CancellationToken,
}

impl Logins {
    pub(super) fn add(&self, key: &SshKey) -> Listed {
        let over = CancellationToken::new();
        let entry = Entry {
            sandbox: key.sandbox.clone(),
            key: key.id.clone(),
            made_by: key.created_by.clone(),
            over: over.clone(),
        };
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.entries.insert(number, entry);
        drop(table);
        Listed {
            logins: self.clone(),
            number,
            over,
        }
    }

    /// The sandbox's key opens nothing any more.
    pub(super) fn end(&self, sandbox: &SandboxId, key: &SshKeyId) {
        self.end_where(|entry| entry.sandbox == *sandbox && entry.key == *key);
    }

    /// Nor do those that this key of the API made.
    pub(crate) fn end_those_of(&self, key: &KeyId) {
        self.end_where(|entry| entry.made_by.as_ref() == Some(key));
    }

    fn end_where(&self, ended: impl Fn(&Entry) -> bool) {
        let table = self.table();
        for entry in table.entries.values().filter(|entry| ended(entry)) {
            entry.over.cancel();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no panic under this lock")
    }
}

impl Listed {
    /// Completes when its key opens nothing any more.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.logins.table().entries.remove(&self.number);
    }
}
