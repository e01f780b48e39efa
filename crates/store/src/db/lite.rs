//! SQLite, in the thread that asks.
//!
//! A statement by its key takes SQLite some 20 µs, and a commit no more: with a write-ahead log nothing waits
//! for the disk. Handing each to a thread of its own, and waking up again for the answer, takes several times
//! that. So what writes, and what reads one row by its key, runs where it is asked for; what reads many rows
//! runs on a thread that may block. ADR 26.

mod checkpoint;
mod readers;
mod statement;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout};

use super::{Query, Row, Sql};
use crate::error::{Result, StoreError};
use checkpoint::Checkpoints;
use readers::Readers;

/// How long a request waits for its turn before it is told that the database is too busy.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long another process (such as the CLI) may hold the write lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept prepared per connection: more than this crate has.
const STATEMENT_CACHE: usize = 400;

/// Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Lite {
    /// The only connection that writes, so that writers queue here instead of meeting SQLITE_BUSY. `None`:
    /// closed.
    writer: Arc<Mutex<Option<Connection>>>,
    /// `None`: in memory, where another connection would see another database.
    file: Option<OnDisk>,
}

#[derive(Debug, Clone)]
struct OnDisk {
    readers: Arc<Readers>,
    checkpoints: Arc<Checkpoints>,
}

/// Rolled back when dropped before its commit.
pub(crate) struct LiteTx {
    lite: Lite,
    turn: Turn,
}

/// The writer, for one transaction. Only who has it alone may look at it: connections are not for two threads.
struct Turn(OwnedMutexGuard<Option<Connection>>);

impl Lite {
    /// Opens a file whose schema is up to date.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let writer = connect(path)?;
        // Waiting is for those who ask, without a thread.
        writer.busy_timeout(Duration::ZERO)?;
        checkpoint::watch(&writer);
        let path: Arc<PathBuf> = Arc::new(path.to_owned());
        Ok(Self {
            writer: Arc::new(Mutex::new(Some(writer))),
            file: Some(OnDisk {
                readers: Arc::new(Readers::new(Arc::clone(&path))),
                checkpoints: Arc::new(Checkpoints::new(path)),
            }),
        })
    }

    /// A database of its own, with the tables that `make` makes.
    pub(super) fn in_memory(make: impl FnOnce(&mut Connection) -> Result<()>) -> Result<Self> {
        let mut writer = Connection::open_in_memory()?;
        writer.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        writer.execute_batch(&format!(
            "{EVERYWHERE} PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
        ))?;
        make(&mut writer)?;
        Ok(Self {
            writer: Arc::new(Mutex::new(Some(writer))),
            file: None,
        })
    }

    /// Any number of rows; nothing is changed.
    pub(super) async fn rows(&self, query: Query) -> Result<Vec<Row>> {
        match &self.file {
            Some(file) => file.readers.rows(query).await,
            None => statement::rows(self.turn().await?.connection()?, &query),
        }
    }

    /// The few rows that are found by a key; nothing is changed.
    pub(super) async fn few(&self, query: Query) -> Result<Vec<Row>> {
        match &self.file {
            Some(file) => file.readers.few(&query).await,
            None => statement::rows(self.turn().await?.connection()?, &query),
        }
    }

    /// The first row of what is found by a key; nothing is changed.
    pub(super) async fn row(&self, query: Query) -> Result<Option<Row>> {
        match &self.file {
            Some(file) => file.readers.row(&query).await,
            None => statement::row(self.turn().await?.connection()?, &query),
        }
    }

    /// One changing statement: how many rows it changed.
    pub(super) async fn execute(&self, query: Query) -> Result<u64> {
        self.alone(|connection| statement::execute(connection, &query))
            .await
    }

    /// The same on a thread that may block.
    pub(super) async fn execute_slowly(&self, query: Query) -> Result<u64> {
        let mut turn = self.turn().await?;
        let query = Arc::new(query);
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            let query = Arc::clone(&query);
            let work = move || {
                let done = turn
                    .connection()
                    .and_then(|it| statement::execute(it, &query));
                (turn, done, checkpoint::take_pages())
            };
            let worked = tokio::task::spawn_blocking(work).await;
            // It does not panic; the runtime may be ending.
            let (back, done, pages) = worked.map_err(|_| StoreError::Closed)?;
            match done {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    turn = back;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                done => {
                    drop(back);
                    self.committed(pages);
                    return done.map_err(unless_told);
                }
            }
        }
    }

    /// The same with RETURNING: the first row of that.
    pub(super) async fn change(&self, query: Query) -> Result<Option<Row>> {
        self.alone(|connection| statement::row(connection, &query))
            .await
    }

    /// IMMEDIATE takes the write lock now: a transaction that reads first and then writes could
    /// otherwise fail half-way when another process wrote in between.
    pub(super) async fn begin(&self) -> Result<LiteTx> {
        let mut turn = self.turn().await?;
        unless_busy(|| statement::run(turn.connection()?, "BEGIN IMMEDIATE")).await?;
        Ok(LiteTx {
            lite: self.clone(),
            turn,
        })
    }

    pub(super) async fn prepare(&self, sql: Sql) -> Result<()> {
        self.turn().await?.connection()?.prepare(sql.lite())?;
        Ok(())
    }

    /// The last connection folds the write-ahead log into the file.
    pub(super) async fn close(&self) {
        if let Some(file) = &self.file {
            file.readers.close().await;
            file.checkpoints.end().await;
        }
        self.writer.lock().await.take();
    }

    /// A transaction of one statement. One that found the database busy did nothing.
    async fn alone<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        let mut turn = self.turn().await?;
        let done = unless_busy(|| work(turn.connection()?)).await?;
        drop(turn);
        self.committed(checkpoint::take_pages());
        Ok(done)
    }

    async fn turn(&self) -> Result<Turn> {
        // What never waits for anything must still let others run now and then.
        consume_budget().await;
        if let Ok(turn) = Arc::clone(&self.writer).try_lock_owned() {
            return Ok(Turn(turn));
        }
        match timeout(TURN_TIMEOUT, Arc::clone(&self.writer).lock_owned()).await {
            Ok(turn) => Ok(Turn(turn)),
            Err(_) => Err(StoreError::Busy),
        }
    }

    /// `pages`: how long the log is.
    fn committed(&self, pages: i32) {
        if let Some(file) = &self.file {
            file.checkpoints.begin_if_due(pages, &self.writer);
        }
    }
}

impl LiteTx {
    pub(super) async fn rows(&mut self, query: Query) -> Result<Vec<Row>> {
        consume_budget().await;
        statement::rows(self.turn.connection()?, &query)
    }

    pub(super) async fn execute(&mut self, query: Query) -> Result<u64> {
        consume_budget().await;
        statement::execute(self.turn.connection()?, &query)
    }

    pub(super) fn commit(mut self) -> Result<()> {
        statement::run(self.turn.connection()?, "COMMIT")?;
        let lite = self.lite.clone();
        drop(self);
        lite.committed(checkpoint::take_pages());
        Ok(())
    }
}

impl Drop for LiteTx {
    fn drop(&mut self) {
        // SQLite ends a transaction by itself where the disk is full.
        if let Ok(connection) = self.turn.connection()
            && !connection.is_autocommit()
            && let Err(error) = statement::run(connection, "ROLLBACK")
        {
            // Else what is written from now on would be a part of it, and never be committed.
            tracing::error!(%error, "a transaction was not rolled back: the database is closed");
            self.turn.0.take();
        }
    }
}

impl Turn {
    fn connection(&mut self) -> Result<&Connection> {
        self.0
            .as_mut()
            .map(|connection| &*connection)
            .ok_or(StoreError::Closed)
    }
}

/// One that is there: what is made is made private, and by the migrations.
fn open_file(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

const EVERYWHERE: &str = "PRAGMA foreign_keys = ON;";

/// With WAL a commit survives a crash of the process; only a power cut may cost the last ones, never the
/// file's integrity.
fn connect(path: &Path) -> Result<Connection> {
    let connection = open_file(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.execute_batch(&format!(
        "{EVERYWHERE} PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    ))?;
    Ok(connection)
}

/// Does it again for as long as another process holds the lock.
async fn unless_busy<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match work() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            other => return other.map_err(unless_told),
        }
    }
}

fn is_busy(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite(error)
        if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
}

/// What callers are told who waited long enough.
fn unless_told(error: StoreError) -> StoreError {
    match error {
        error if is_busy(&error) => StoreError::Busy,
        other => other,
    }
}

#[cfg(test)]
mod tests;
