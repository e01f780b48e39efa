//! Moving the write-ahead log into the file, which waits for the disk: on a thread that may, and not
//! behind the commit that happens to be the thousandth.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::Mutex;

use crate::error::Result;

/// Pages in the log from which on it is moved.
const DUE_PAGES: i32 = 1000;
/// From here on nobody writes meanwhile: the log begins anew only when all of it is moved.
const OVERDUE_PAGES: i32 = 16_000;

thread_local! {
    /// Pages in the log behind the last commit of this thread, until they are looked at.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

#[derive(Debug)]
pub(super) struct Checkpoints {
    path: Arc<PathBuf>,
    under_way: AtomicBool,
}

/// Its commits tell how long the log is, and move nothing.
pub(super) fn watch(writer: &Connection) {
    writer.wal_hook(Some(note));
}

#[allow(clippy::unnecessary_wraps, reason = "the type of a hook")]
fn note(_: &Wal, pages: i32) -> rusqlite::Result<()> {
    PAGES.set(pages);
    Ok(())
}

impl Checkpoints {
    pub(super) fn new(path: Arc<PathBuf>) -> Self {
        Self {
            path,
            under_way: AtomicBool::new(false),
        }
    }

    /// Behind a commit on this thread.
    pub(super) fn begin_if_due(self: &Arc<Self>, writer: &Arc<Mutex<Option<Connection>>>) {
        let pages = PAGES.take();
        if pages < DUE_PAGES || self.under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, writer) = (Arc::clone(self), Arc::clone(writer));
        tokio::task::spawn_blocking(move || {
            let alone = (pages >= OVERDUE_PAGES).then(|| writer.blocking_lock());
            if let Err(error) = this.run() {
                tracing::warn!(%error, "the write-ahead log was not moved into the database");
            }
            drop(alone);
            this.under_way.store(false, Ordering::Release);
        });
    }

    /// Waits for nobody: what a reader still needs of the file, and what is written meanwhile, is moved next
    /// time.
    fn run(&self) -> Result<()> {
        let connection = Connection::open(self.path.as_path())?;
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
        Ok(())
    }
}
