//! Moving the write-ahead log into the file, which waits for the disk: on a thread that may, and not
//! behind the commit that happens to be the thousandth.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    state: Arc<Mutex<State>>,
}

/// Locked while one is under way.
#[derive(Debug, Default)]
struct State {
    /// Pages in the log that the last one could not move: a reader needs what was before them, or the
    /// disk refuses.
    left: i32,
    ended: bool,
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
            state: Arc::default(),
        }
    }

    /// Where `pages` are in the log, and none is under way.
    pub(super) fn begin_if_due(&self, pages: i32, writer: &Arc<Mutex<Option<Connection>>>) {
        if pages < DUE_PAGES {
            return;
        }
        let Ok(mut state) = Arc::clone(&self.state).try_lock_owned() else {
            return;
        };
        // Those that were left are tried again with as many more, or with a log that began anew.
        if state.ended || (pages >= state.left && pages < state.left.saturating_add(DUE_PAGES)) {
            return;
        }
        let (path, writer) = (Arc::clone(&self.path), Arc::clone(writer));
        tokio::task::spawn_blocking(move || {
            let alone = (pages >= OVERDUE_PAGES).then(|| writer.blocking_lock());
            state.left = move_log(&path).unwrap_or_else(|error| {
                tracing::warn!(%error, "the write-ahead log was not moved into the database");
                pages
            });
            drop(alone);
        });
    }

    /// Waits for the one that is under way; there is none from now on.
    pub(super) async fn end(&self) {
        self.state.lock().await.ended = true;
    }
}

/// Waits for nobody: what a reader still needs of the file, and what is written meanwhile, is moved next
/// time. How many pages are left.
fn move_log(path: &Path) -> Result<i32> {
    let connection = open_file(path)?;
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    let moved = connection.query_row(sql, (), |row| {
        let (log, moved): (i32, i32) = (row.get(1)?, row.get(2)?);
        Ok(if moved < log { log } else { 0 })
    });
    Ok(moved?)
}
