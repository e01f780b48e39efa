//! Moving the write-ahead log into the file, which waits for the disk: on a thread that may, which takes
//! the processor from nobody, and not behind the commit that happens to be the thousandth.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use pinfold_sys::schedule;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::Mutex;

use super::open_file;
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
    /// How long the log was when it was moved last. It goes on growing behind that as long as somebody
    /// writes; 0 since it began anew.
    moved: Arc<AtomicI32>,
    /// Locked while one is under way; whether there may be another.
    ended: Arc<Mutex<bool>>,
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

/// Pages in the log behind the last commit of this thread, once.
pub(super) fn take_pages() -> i32 {
    PAGES.take()
}

impl Checkpoints {
    pub(super) fn new(path: Arc<PathBuf>) -> Self {
        Self {
            path,
            moved: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Where `pages` are in the log, and none is under way.
    pub(super) fn begin_if_due(&self, pages: i32, writer: &Arc<Mutex<Option<Connection>>>) {
        if !self.is_due(pages) {
            return;
        }
        let Ok(ended) = Arc::clone(&self.ended).try_lock_owned() else {
            return;
        };
        if *ended {
            return;
        }
        let (path, writer, moved) = (
            Arc::clone(&self.path),
            Arc::clone(writer),
            Arc::clone(&self.moved),
        );
        let work = move || {
            schedule::behind_others();
            let alone = (pages >= OVERDUE_PAGES).then(|| writer.blocking_lock());
            let length = move_log(&path).unwrap_or_else(|error| {
                tracing::warn!(%error, "the write-ahead log was not moved into the database");
                pages
            });
            moved.store(length, Ordering::Relaxed);
            drop(alone);
            drop(ended);
        };
        // Without a thread it is due with the next commit.
        let thread = std::thread::Builder::new().name("pinfold-log".to_owned());
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(%error, "no thread that moves the write-ahead log");
        }
    }

    /// Whether so much was written since the last one.
    fn is_due(&self, pages: i32) -> bool {
        if pages < DUE_PAGES {
            // 0 tells nothing: nothing was written.
            if pages > 0 {
                self.moved.store(0, Ordering::Relaxed);
            }
            return false;
        }
        pages >= self.moved.load(Ordering::Relaxed).saturating_add(DUE_PAGES)
    }

    /// Waits for the one that is under way; there is none from now on.
    pub(super) async fn end(&self) {
        *self.ended.lock().await = true;
    }
}

/// Waits for nobody: what a reader still needs of the file, and what is written meanwhile, is moved next
/// time. How long the log was.
fn move_log(path: &Path) -> Result<i32> {
    let connection = open_file(path)?;
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    Ok(connection.query_row(sql, (), |row| row.get(1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_again_when_as_much_was_written_again() {
        let checkpoints = Checkpoints::new(Arc::default());
        assert!(!checkpoints.is_due(DUE_PAGES - 1));
        assert!(checkpoints.is_due(DUE_PAGES));
        // Moved while 40 more were written: the log goes on behind them.
        checkpoints.moved.store(DUE_PAGES, Ordering::Relaxed);
        assert!(!checkpoints.is_due(DUE_PAGES + 40));
        assert!(!checkpoints.is_due(0));
        assert!(!checkpoints.is_due(2 * DUE_PAGES - 1));
        assert!(checkpoints.is_due(2 * DUE_PAGES));
        checkpoints.moved.store(2 * DUE_PAGES, Ordering::Relaxed);
        // It began anew.
        assert!(!checkpoints.is_due(3));
        assert!(checkpoints.is_due(DUE_PAGES));
    }
}
