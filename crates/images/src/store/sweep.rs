//! Removing layers that nothing refers to, safely against imports in any process.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pinfold_model::Digest;

use super::{LayerStore, Staging, lock};
use crate::error::StoreError;

/// No import is between its first layer and its recorded image while this lives. So the set of
/// referenced layers that the caller looks up *after* starting the sweep misses none.
#[derive(Debug)]
pub struct Sweep<'s> {
    store: &'s LayerStore,
    _alone: File,
}

/// What a sweep removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    pub layers: Vec<Digest>,
    /// Sum of the sizes of their files.
    pub size_bytes: u64,
}

impl<'s> Sweep<'s> {
    pub(super) fn start(store: &'s LayerStore) -> Result<Option<Self>, StoreError> {
        let alone = lock::try_exclusive(&store.root().join("lease.lock"))?;
        Ok(alone.map(|alone| Self {
            store,
            _alone: alone,
        }))
    }

    /// Removes every layer that is not in `referenced`: neither an image nor a live sandbox may
    /// use it.
    ///
    /// # Errors
    /// The store cannot be changed; layers removed before that stay removed.
    pub fn remove_unreferenced(&self, referenced: &HashSet<Digest>) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        for layer in self.store.layers()? {
            if referenced.contains(&layer) {
                continue;
            }
            removed.size_bytes += self.store.size(&layer)?.unwrap_or(0);
            self.discard(&self.store.layer_dir(&layer))?;
            removed.layers.push(layer);
        }
        Ok(removed)
    }

    /// Removes trees of the host image, all but `in_use` (as `HostRoot::layer_dir` named them).
    /// The caller counts the present one as in use.
    ///
    /// # Errors
    /// The store cannot be changed.
    pub fn remove_host_trees(&self, in_use: &HashSet<PathBuf>) -> Result<(), StoreError> {
        let failed = "listing host trees";
        for entry in fs::read_dir(self.store.host_dir()).map_err(StoreError::new(failed))? {
            let dir = entry.map_err(StoreError::new(failed))?.path();
            if !in_use.contains(&dir.join("fs")) {
                self.discard(&dir)?;
            }
        }
        Ok(())
    }

    /// Takes it out of sight by one rename, then removes it.
    fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        let trash = Staging::new(self.store)?;
        fs::rename(dir, trash.path().join("trash")).map_err(StoreError::new("discarding"))
    }
}
