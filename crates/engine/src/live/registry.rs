//! Every live sandbox and command of this engine by id.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, RwLock};

use futures::future::join_all;
use pinfold_model::sandbox::EndReason;
use pinfold_model::{CodeContextId, CommandId, ProjectId, Purpose, SandboxId};

use super::{Change, LiveCommand, LiveSandbox};

#[derive(Default)]
pub(crate) struct Registry {
    sandboxes: Table<SandboxId, LiveSandbox>,
    commands: Table<CommandId, LiveCommand>,
}

impl Registry {
    pub(crate) fn sandbox(&self, id: &SandboxId) -> Option<Arc<LiveSandbox>> {
        self.sandboxes.get(id)
    }

    pub(crate) fn sandboxes(&self) -> Vec<Arc<LiveSandbox>> {
        self.sandboxes.all()
    }

    pub(crate) fn sandboxes_of(&self, project: &ProjectId) -> Vec<Arc<LiveSandbox>> {
        let mut all = self.sandboxes();
        all.retain(|live| live.project() == project);
        all
    }

    pub(super) fn add_sandbox(&self, live: Arc<LiveSandbox>) {
        self.sandboxes.put(live.id().clone(), live);
        self.show();
    }

    pub(super) fn remove_sandbox(&self, id: &SandboxId) {
        self.sandboxes.remove(id);
        self.show();
    }

    pub(crate) fn command(&self, id: &CommandId) -> Option<Arc<LiveCommand>> {
        self.commands.get(id)
    }

    pub(crate) fn commands(&self) -> Vec<Arc<LiveCommand>> {
        self.commands.all()
    }

    /// Runs of code in the context that have not ended.
    pub(crate) fn runs_of(&self, context: &CodeContextId) -> Vec<Arc<LiveCommand>> {
        let runs = |live: &Arc<LiveCommand>| {
            !live.has_ended() && matches!(live.purpose(), Purpose::CodeRun(of) if of == *context)
        };
        let mut all = self.commands();
        all.retain(runs);
        all
    }

    pub(crate) fn add_command(&self, live: Arc<LiveCommand>) {
        self.commands.put(live.id().clone(), live);
    }

    pub(crate) fn remove_command(&self, id: &CommandId) {
        self.commands.remove(id);
    }

    /// Ends every sandbox; returns when all are gone.
    pub(crate) async fn destroy_all(&self) {
        let all = self.sandboxes();
        let ends = all
            .iter()
            .map(|live| live.change(Change::Destroy(EndReason::Requested)));
        for (live, end) in all.iter().zip(join_all(ends).await) {
            if let Some(Err(error)) = end {
                tracing::error!(sandbox = %live.id(), %error, "not destroyed at shutdown");
            }
        }
    }

    fn show(&self) {
        metrics::gauge!("pinfold_sandboxes_live").set(self.sandboxes.len() as f64);
    }
}

struct Table<K, V>(RwLock<HashMap<K, Arc<V>>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    fn get(&self, id: &K) -> Option<Arc<V>> {
        self.0
            .read()
            .expect("no panic under this lock")
            .get(id)
            .cloned()
    }

    fn put(&self, id: K, value: Arc<V>) {
        self.0
            .write()
            .expect("no panic under this lock")
            .insert(id, value);
    }

    fn remove(&self, id: &K) {
        let removed = self.0.write().expect("no panic under this lock").remove(id);
        // Whatever it holds is dropped outside the lock.
        drop(removed);
    }

    fn all(&self) -> Vec<Arc<V>> {
        self.0
            .read()
            .expect("no panic under this lock")
            .values()
            .cloned()
            .collect()
    }

    fn len(&self) -> usize {
        self.0.read().expect("no panic under this lock").len()
    }
}
