//! Work in progress: a directory below `tmp/` that vanishes unless it is committed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with, syncfs};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{LayerRecord, LayerStore, lock};
use crate::error::StoreError;
use crate::remove::remove_tree;

/// A private directory that dies with this value, or with this process at the next open.
pub(crate) struct Staging {
    path: PathBuf,
    /// Its lock tells other processes that it is alive.
    dir: File,
    tmp: PathBuf,
}

impl Staging {
    pub(crate) fn new(store: &LayerStore) -> Result<Self, StoreError> {
        let tmp = store.root().join("tmp");
        let path = tmp.join(random_name()?);
        // Between its making and its locking another process would take it for a leftover.
        let _making = lock::exclusive(&store.root().join("tmp.lock"))?;
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(StoreError::new("making a directory"))?;
        let dir = File::open(&path).map_err(StoreError::new("opening a directory"))?;
        flock(&dir, FlockOperation::LockExclusive).map_err(StoreError::errno("taking a lock"))?;
        Ok(Self { path, dir, tmp })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `fs/`, world-readable as the root of a file system has to be, and opens it.
    pub(crate) fn make_tree(&self) -> Result<OwnedFd, StoreError> {
        let path = self.path.join("fs");
        let failed = "making a tree";
        fs::create_dir(&path).map_err(StoreError::new(failed))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(StoreError::new(failed))?;
        Ok(File::open(&path).map_err(StoreError::new(failed))?.into())
    }

    /// Makes the tree the store's layer. Where another import was faster, that one stays: both
    /// have the same content.
    ///
    /// One `syncfs` instead of an `fsync` a file: after a power cut a layer is whole or absent.
    pub(crate) fn commit_layer(
        self,
        store: &LayerStore,
        record: &LayerRecord,
    ) -> Result<(), StoreError> {
        record
            .write(&self.path)
            .map_err(StoreError::new("writing a layer's record"))?;
        self.commit(&store.layer_dir(&record.diff_id))
    }

    /// Renames the whole directory to `target`, on the same file system, unless that exists.
    pub(crate) fn commit(self, target: &Path) -> Result<(), StoreError> {
        syncfs(&self.dir).map_err(StoreError::errno("flushing"))?;
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            // Dropping `self` removes our copy in the second case.
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(StoreError::errno("moving into place")(errno)),
        }
        let parent = target.parent().unwrap_or(target);
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(StoreError::new("flushing"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nobody to tell: what cannot be removed now is a leftover at the next open.
        let _ = remove_below(&self.tmp, &self.path);
    }
}

/// Removes the directories of dead processes.
pub(super) fn remove_leftovers(store: &LayerStore) -> Result<(), StoreError> {
    let failed = "removing leftovers";
    let tmp = store.root().join("tmp");
    for entry in fs::read_dir(&tmp).map_err(StoreError::new(failed))? {
        let path = entry.map_err(StoreError::new(failed))?.path();
        let dead = {
            let _looking = lock::exclusive(&store.root().join("tmp.lock"))?;
            match File::open(&path) {
                Ok(dir) => lock::try_lock(&dir)?.then_some(dir),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(StoreError::new(failed)(error)),
            }
        };
        // Its lock is ours while it is removed, so two openers do not race.
        if let Some(_dir) = dead {
            remove_below(&tmp, &path).map_err(StoreError::errno(failed))?;
        }
    }
    Ok(())
}

fn remove_below(parent: &Path, path: &Path) -> Result<(), Errno> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, rustix::fs::Mode::empty())?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    remove_tree(parent.as_fd(), name.as_bytes())
}

fn random_name() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(StoreError::errno("making a name"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
