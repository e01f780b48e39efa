//! Connections that only read, so that nobody who reads waits for who writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::{TURN_TIMEOUT, connect, statement, unless_told};
use crate::db::{Query, Row};
use crate::error::{Result, StoreError};

/// Connections, opened as they are needed. Each costs a page cache. Those that take long leave the others to
/// who looks for one row by its key.
const SLOW: usize = 3;
const QUICK: usize = 2;
/// Readers of a write-ahead log hardly ever wait: while another process repairs it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    slow: Arc<Semaphore>,
    quick: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: Arc<PathBuf>) -> Self {
        Self {
            path,
            slow: Arc::new(Semaphore::new(SLOW)),
            quick: Arc::new(Semaphore::new(QUICK)),
            idle: Mutex::default(),
        }
    }

    /// How long it takes depends on how much there is, so that is for a thread that may block.
    pub(super) async fn rows(self: &Arc<Self>, query: Query) -> Result<Vec<Row>> {
        let (readers, turn) = (Arc::clone(self), turn(&self.slow).await?);
        let read = move || readers.with(turn, |connection| statement::rows(connection, &query));
        let read = tokio::task::spawn_blocking(read).await;
        // It does not panic; the runtime may be ending.
        read.map_err(|_| StoreError::Closed)?
    }

    /// The few that are found by a key.
    pub(super) async fn few(&self, query: &Query) -> Result<Vec<Row>> {
        let turn = turn(&self.quick).await?;
        self.with(turn, |connection| statement::rows(connection, query))
    }

    pub(super) async fn row(&self, query: &Query) -> Result<Option<Row>> {
        let turn = turn(&self.quick).await?;
        self.with(turn, |connection| statement::row(connection, query))
    }

    /// Waits for those that read; later ones are told that it is closed.
    pub(super) async fn close(&self) {
        for (turns, all) in [(&self.slow, SLOW), (&self.quick, QUICK)] {
            let all = u32::try_from(all).unwrap_or(u32::MAX);
            let waited = turns.acquire_many(all).await;
            turns.close();
            drop(waited);
        }
        self.idle().clear();
    }

    fn with<T>(
        &self,
        turn: OwnedSemaphorePermit,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path)?;
                connection.execute_batch("PRAGMA query_only = ON;")?;
                connection.busy_timeout(BUSY_TIMEOUT)?;
                connection
            }
        };
        let found = read(&connection);
        self.idle().push(connection);
        // Not before: who has a turn finds a connection that is idle, or may open one.
        drop(turn);
        found.map_err(unless_told)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    consume_budget().await;
    if let Ok(turn) = Arc::clone(turns).try_acquire_owned() {
        return Ok(turn);
    }
    match timeout(TURN_TIMEOUT, Arc::clone(turns).acquire_owned()).await {
        Ok(turn) => turn.map_err(|_| StoreError::Closed),
        Err(_) => Err(StoreError::Busy),
    }
}

#[cfg(test)]
impl Readers {
    pub(super) async fn looked_at(&self, look: impl FnOnce(&Connection)) {
        let turn = turn(&self.quick).await.expect("free");
        let looked = self.with(turn, |connection| {
            look(connection);
            Ok(())
        });
        looked.expect("it opens");
    }
}
