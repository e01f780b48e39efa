//! Changes of files, as they happen.

use pinfold_model::Result;
use pinfold_runtime::guest::{FileEventKind, FilePath, Watch};

use super::entry::shown;
use crate::errors::guest_error;
use crate::live::Lease;

/// One change of a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub kind: FileChangeKind,
    /// Absolute. Bytes that are no UTF-8 are shown as U+FFFD.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChangeKind {
    Created,
    Modified,
    Removed,
    /// It has this name now.
    Renamed,
    /// Its permissions or owner.
    Mode,
    /// Changes were lost: look at everything again.
    Overflow,
}

/// Yields changes until it is dropped. The sandbox counts as in use while it is held.
#[derive(Debug)]
pub struct FileWatch {
    watch: Watch,
    at: FilePath,
    _lease: Lease,
}

impl FileWatch {
    pub(super) async fn begin(lease: Lease, at: &FilePath, recursive: bool) -> Result<Self> {
        let watch = lease
            .guest()
            .watch(at, recursive)
            .await
            .map_err(guest_error)?;
        Ok(Self {
            watch,
            at: at.clone(),
            _lease: lease,
        })
    }

    /// The next change; `None` when the watched path itself is gone.
    pub async fn next(&mut self) -> Result<Option<FileChange>> {
        let event = self.watch.next().await.map_err(guest_error)?;
        Ok(event.map(|event| {
            let at = FilePath::new(self.at.path.join(&event.path));
            FileChange {
                kind: to_kind(event.kind),
                // Joining nothing leaves a slash behind.
                path: match event.path.as_os_str().is_empty() {
                    true => shown(&self.at),
                    false => shown(&at),
                },
            }
        }))
    }
}

fn to_kind(kind: FileEventKind) -> FileChangeKind {
    match kind {
        FileEventKind::Overflow => FileChangeKind::Overflow,
        FileEventKind::Created => FileChangeKind::Created,
        FileEventKind::Modified => FileChangeKind::Modified,
        FileEventKind::Removed => FileChangeKind::Removed,
        FileEventKind::Renamed => FileChangeKind::Renamed,
        FileEventKind::Mode => FileChangeKind::Mode,
    }
}
