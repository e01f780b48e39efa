//! Connections that only read, so that nobody who reads waits for who writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::{TURN_TIMEOUT, connect, statement};
use crate::db::{Query, Row};
use crate::error::{Result, StoreError};

/// Connections, opened as they are needed. Each costs a page cache.
const READERS: usize = 4;
/// Readers of a write-ahead log hardly ever wait: while another process repairs it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: Arc<PathBuf>) -> Self {
        Self {
            path,
            turns: Arc::new(Semaphore::new(READERS)),
            idle: Mutex::default(),
        }
    }

    /// How long it takes depends on how much there is, so that is for a thread that may block.
    pub(super) async fn rows(self: &Arc<Self>, query: Query) -> Result<Vec<Row>> {
        let (readers, turn) = (Arc::clone(self), self.turn().await?);
        let read = move || readers.with(turn, |connection| statement::rows(connection, &query));
        let read = tokio::task::spawn_blocking(read).await;
        // It does not panic; the runtime may be ending.
        read.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn row(&self, query: &Query) -> Result<Option<Row>> {
        let turn = self.turn().await?;
        self.with(turn, |connection| statement::row(connection, query))
    }

    /// Waits for those that read; later ones are told that it is closed.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let waited = self.turns.acquire_many(all).await;
        self.turns.close();
        drop(waited);
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
        found
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        consume_budget().await;
        match timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(turn) => turn.map_err(|_| StoreError::Closed),
            Err(_) => Err(StoreError::Busy),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Readers {
    pub(super) async fn looked_at(&self, look: impl FnOnce(&Connection)) {
        let turn = self.turn().await.expect("free");
        let looked = self.with(turn, |connection| {
            look(connection);
            Ok(())
        });
        looked.expect("it opens");
    }
}
