//! A directory of its own for each embedded run, and how the next run knows that its owner died.
//!
//! ```text
//! RUNS/lock            held for a moment to make, find or remove a directory
//! RUNS/ID/lock         held by its run for as long as it lives; the kernel drops it in any case
//! RUNS/ID/sandboxes/   the driver's
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::paths::make_private;

/// A run's directory, locked by us.
#[derive(Debug)]
pub(crate) struct Scratch {
    runs: PathBuf,
    id: String,
    _held: File,
}

impl Scratch {
    /// Makes one below `runs`, which is made if missing.
    pub(crate) fn create(runs: &Path) -> io::Result<Self> {
        make_private(runs)?;
        let _making = hold(&runs.join("lock"))?;
        let id = fresh_id()?;
        make_private(&runs.join(&id))?;
        let held = hold(&runs.join(&id).join("lock"))?;
        Ok(Self {
            runs: runs.to_owned(),
            id,
            _held: held,
        })
    }

    /// Those whose runs are dead; they are locked by us from now on.
    pub(crate) fn abandoned(runs: &Path) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(runs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(
                entry?
                    .file_name()
                    .into_string()
                    .ok()
                    .filter(|name| name != "lock"),
            );
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let _looking = hold(&runs.join("lock"))?;
        let found = names.into_iter().map(|id| Self::take(runs, id));
        Ok(found
            .collect::<io::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// `None` where its run lives, or it has gone meanwhile.
    fn take(runs: &Path, id: String) -> io::Result<Option<Self>> {
        if !runs.join(&id).is_dir() {
            return Ok(None);
        }
        let held = open(&runs.join(&id).join("lock"))?;
        match held.try_lock() {
            Ok(()) => Ok(Some(Self {
                runs: runs.to_owned(),
                id,
                _held: held,
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.path().join("sandboxes")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.path().join("journals")
    }

    /// Names this run's cgroups.
    pub(crate) fn instance(&self) -> String {
        format!("run-{}", self.id)
    }

    pub(crate) fn remove(self) -> io::Result<()> {
        let _removing = hold(&self.runs.join("lock"))?;
        std::fs::remove_dir_all(self.path())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.runs.join(&self.id)
    }
}

/// Waits for the only hold on the lock at `path`.
fn hold(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    file.lock()?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

/// Twelve hex digits.
fn fresh_id() -> io::Result<String> {
    let mut bytes = [0; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_runs_directory_is_left_alone_and_a_dead_ones_is_found() {
        let temp = tempfile::tempdir().expect("directory");
        let runs = temp.path().join("runs");
        assert!(
            Scratch::abandoned(&runs)
                .expect("no directory yet")
                .is_empty()
        );
        let alive = Scratch::create(&runs).expect("create");
        let dead = Scratch::create(&runs).expect("create");
        let id = dead.id.clone();
        drop(dead);
        let found = Scratch::abandoned(&runs).expect("look");
        assert_eq!(
            found.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
            [id]
        );
        assert!(
            Scratch::abandoned(&runs).expect("look").is_empty(),
            "locked by the finder"
        );
        for scratch in found {
            scratch.remove().expect("remove");
        }
        alive.remove().expect("remove");
        assert_eq!(
            std::fs::read_dir(&runs).expect("list").count(),
            1,
            "only the lock is left"
        );
    }
}
