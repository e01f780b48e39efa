//! The previews that somebody has used since this engine started: what a request needs to know of
//! one without asking the store, and what ends the connections of one that ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use pinfold_model::SandboxId;

use super::OpenPreview;
use super::open::Name;

/// By name. As many as active previews and tunnels of live sandboxes at most, which quotas bound.
#[derive(Default)]
pub(crate) struct PreviewTable {
    open: RwLock<HashMap<Name, Arc<OpenPreview>>>,
    /// Counts what ended, so that a look-up which that overtook is not kept.
    endings: AtomicU64,
}

impl PreviewTable {
    pub(crate) fn get(&self, name: &Name) -> Option<Arc<OpenPreview>> {
        let open = self.open.read().expect("no panic under this lock");
        open.get(name).cloned()
    }

    /// Taken before a look-up and given to [`PreviewTable::put`] after it.
    pub(crate) fn generation(&self) -> u64 {
        self.endings.load(Ordering::Acquire)
    }

    /// The entry of that preview, which is this one if there was none; `None` where something ended
    /// since the look-up began, which has to be repeated then.
    pub(super) fn put(&self, found: OpenPreview, generation: u64) -> Option<Arc<OpenPreview>> {
        let mut open = self.open.write().expect("no panic under this lock");
        if self.generation() != generation {
            return None;
        }
        let name = found.facts.name.clone();
        Some(Arc::clone(
            open.entry(name).or_insert_with(|| Arc::new(found)),
        ))
    }

    /// Ends the connections of a preview that has ended.
    pub(crate) fn forget(&self, name: &Name) {
        self.forget_where(|open| open.facts.name == *name);
    }

    /// The same for every address of a sandbox.
    pub(crate) fn forget_sandbox(&self, id: &SandboxId) {
        self.forget_where(|open| open.facts.sandbox == *id);
    }

    fn forget_where(&self, ended: impl Fn(&OpenPreview) -> bool) {
        let mut open = self.open.write().expect("no panic under this lock");
        self.endings.fetch_add(1, Ordering::AcqRel);
        let gone: Vec<_> = open.extract_if(|_, open| ended(open)).collect();
        drop(open);
        for (_, open) in gone {
            open.end();
        }
    }
}
