//! Advisory locks between the processes that share a store.
//!
//! `flock` belongs to an open file, so it also works between threads, and the kernel drops it when
//! the process dies. Descriptors are close-on-exec.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use crate::error::StoreError;

const OPENING: &str = "opening a lock";
const LOCKING: &str = "taking a lock";

/// Holds layers that nothing refers to yet: no sweep starts while one lives, in any process.
#[derive(Debug)]
pub struct Lease {
    _held: File,
}

impl Lease {
    pub(super) fn shared(path: &Path) -> Result<Self, StoreError> {
        hold(path, FlockOperation::LockShared).map(|held| Self { _held: held })
    }
}

/// Waits for the only hold on `path`.
pub(super) fn exclusive(path: &Path) -> Result<File, StoreError> {
    hold(path, FlockOperation::LockExclusive)
}

/// The only hold on `path`, or `None` if another has one.
pub(super) fn try_exclusive(path: &Path) -> Result<Option<File>, StoreError> {
    let file = open(path)?;
    let locked = try_lock(&file)?;
    Ok(locked.then_some(file))
}

/// Whether `file` could be locked at once.
pub(super) fn try_lock(file: &File) -> Result<bool, StoreError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(StoreError::errno(LOCKING)(errno)),
    }
}

fn hold(path: &Path, how: FlockOperation) -> Result<File, StoreError> {
    let file = open(path)?;
    retry_on_intr(|| flock(&file, how)).map_err(StoreError::errno(LOCKING))?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::new(OPENING))
}
