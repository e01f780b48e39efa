//! One journal as its readers and its writer share it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pinfold_model::CommandId;
use tokio::sync::watch;

use super::index::Index;
use super::scan::Scan;
use super::status::{Feed, Mark, Status};

/// What the disk holds of a journal.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// An End and nothing before it, and the file that was about to be begun with it.
    End(Mark, Option<File>),
    File(Box<(File, Scan)>),
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::End(..) => false,
            Self::File(found) => found.1.status.last_seq == 0,
        }
    }

    /// The same, where an End that is known of otherwise comes before whatever is there.
    pub(super) fn behind(self, end: Option<Mark>) -> Self {
        match (self, end) {
            (found, Some(mark)) if found.is_empty() => match found {
                Self::File(found) => Self::End(mark, Some(found.0)),
                _ => Self::End(mark, None),
            },
            (found, _) => found,
        }
    }
}

/// The journal of one command. Made by [`super::Journals`]; any number of readers share it.
///
/// Readers and writer use one descriptor: `pread` and `pwrite` carry their own offsets, and a
/// thousand followers of one command then cost one descriptor.
#[derive(Debug)]
pub struct Journal {
    id: CommandId,
    path: PathBuf,
    file: OnceLock<File>,
    status: watch::Sender<Status>,
    index: Mutex<Index>,
    written_to: AtomicBool,
}

impl Journal {
    /// Without a file: none is made before the first record.
    pub(super) fn empty(id: CommandId, path: PathBuf) -> Self {
        Self {
            id,
            path,
            file: OnceLock::new(),
            status: watch::Sender::new(Status::EMPTY),
            index: Mutex::new(Index::new()),
            written_to: AtomicBool::new(false),
        }
    }

    /// Without a file, and already owned by a writer: readers wait for it.
    pub(super) fn claimed(id: CommandId, path: PathBuf) -> Self {
        let journal = Self::empty(id, path);
        journal.claim();
        journal.publish(Status {
            feed: Feed::Live,
            ..Status::EMPTY
        });
        journal
    }

    #[must_use]
    pub const fn id(&self) -> &CommandId {
        &self.id
    }

    /// How far the journal is now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Lets every reader see `status`, and with it all of the file below its end.
    pub(super) fn publish(&self, status: Status) {
        self.status.send_replace(status);
    }

    /// `None` as long as no record was written.
    pub(super) fn file(&self) -> Option<&File> {
        self.file.get()
    }

    /// The file, made when it is not there yet: new, mode 0600.
    pub(super) fn file_for_writing(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)?;
        Ok(self.file.get_or_init(|| file))
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was found on disk.
    pub(super) fn resume(&self, found: Found) {
        match found {
            Found::Nothing => {}
            Found::End(mark, file) => {
                if let Some(file) = file {
                    self.file.get_or_init(|| file);
                }
                self.publish(Status::silent(mark));
            }
            Found::File(found) => {
                let (file, scan) = *found;
                self.file.get_or_init(|| file);
                *self.index() = scan.index;
                self.publish(scan.status);
            }
        }
    }

    pub(super) fn mark_removed(&self) {
        self.status
            .send_modify(|status| status.feed = Feed::Removed);
    }

    /// Whether the caller became the only writer.
    pub(super) fn claim(&self) -> bool {
        !self.written_to.swap(true, Ordering::AcqRel)
    }

    pub(super) fn release(&self) {
        self.written_to.store(false, Ordering::Release);
    }

    pub(super) fn has_writer(&self) -> bool {
        self.written_to.load(Ordering::Acquire)
    }
}
