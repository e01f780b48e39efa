//! Opening databases and bringing their schema up to date.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgPool, SqlitePool};

use super::{Db, Running, schema};
use crate::error::{Result, StoreError};

pub(super) static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// Connections that read, opened as they are needed. Each costs a thread and a page cache.
const SQLITE_READERS: u32 = 4;
/// PostgreSQL's own default allows 100 in all, to be shared by several servers.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a request waits for a connection before it is told that the database is too busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long SQLite waits for another process (such as the CLI) that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept prepared per connection: more than this crate has.
const STATEMENT_CACHE: usize = 200;

impl Db {
    /// Opens or makes the database file and migrates it. Its directory must exist.
    pub(crate) fn open_sqlite(path: &Path) -> Running<'_, Self> {
        Box::pin(async move {
            create_private(path)?;
            let options = sqlite_options()
                .filename(path)
                .journal_mode(SqliteJournalMode::Wal)
                // With WAL this survives a crash of the process; only a power cut may cost the
                // last commits, never the file's integrity.
                .synchronous(SqliteSynchronous::Normal);
            let writer = connect_sqlite(&options).await?;
            migrate_sqlite(&writer).await?;
            let reading = options.pragma("query_only", "ON");
            let readers = sqlite_pool(SQLITE_READERS).connect_lazy_with(reading);
            Ok(Self::Lite { writer, readers })
        })
    }

    /// A database of its own that ends with the process. One connection does everything, because
    /// another would see another database.
    pub(crate) fn in_memory() -> Running<'static, Self> {
        Box::pin(async move {
            let options = sqlite_options()
                .in_memory(true)
                .journal_mode(SqliteJournalMode::Memory)
                .synchronous(SqliteSynchronous::Off);
            let pool = sqlite_pool(1).connect_with(options).await?;
            schema::SHIPPED.make(&pool, &SQLITE).await?;
            Ok(Self::Lite {
                writer: pool.clone(),
                readers: pool,
            })
        })
    }

    /// Connects to PostgreSQL 13 or newer and migrates the schema that comes first in the URL's
    /// search path.
    pub(crate) fn connect_postgres(url: &str) -> Running<'_, Self> {
        Box::pin(async move {
            let options: PgConnectOptions = url.parse()?;
            let pool: PgPool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(options.statement_cache_capacity(STATEMENT_CACHE))
                .await?;
            // Takes an advisory lock, so servers that start at once migrate one after the other.
            POSTGRES.run(&pool).await?;
            Ok(Self::Pg(pool))
        })
    }
}

/// The database holds the pepper of the keys' hashes, so nobody else may read it. SQLite gives its
/// `-wal` and `-shm` files the mode of this one.
fn create_private(path: &Path) -> Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| StoreError::Open {
            path: path.display().to_string(),
            source,
        })
}

fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENT_CACHE)
}

/// Connects the writer. Switching a new file to WAL while another process does so too fails as busy
/// at once: SQLite does not wait there, whatever the busy timeout says, so this does.
async fn connect_sqlite(options: &SqliteConnectOptions) -> Result<SqlitePool> {
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match unless_stuck(sqlite_pool(1))
            .connect_with(options.clone())
            .await
        {
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            other => return Ok(other?),
        }
    }
}

/// SQLITE_BUSY and its extended codes, which keep it in their low byte.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

/// Connections live as long as the pool: they cannot go stale, and in memory they are the data.
fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// SQLite ends a transaction by itself where the disk is full. sqlx does not notice, fails to roll back
/// what is no longer there, and takes the connection to be in that transaction for ever: such a one
/// is replaced. Not for databases in memory, which end with their connection.
fn unless_stuck(pool: SqlitePoolOptions) -> SqlitePoolOptions {
    pool.before_acquire(|connection, _| {
        let sound = !connection.is_in_transaction();
        Box::pin(async move { Ok(sound) })
    })
}

/// All in one write transaction, so that two processes that open a new file at once do not both
/// create the tables: sqlx takes no lock of its own on SQLite.
async fn migrate_sqlite(writer: &SqlitePool) -> Result<()> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    // Not `run`: the future of its generic `Acquire` argument is not `Send` for the compiler.
    SQLITE.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sqlx::Row;

    use super::*;

    async fn pragma(pool: &SqlitePool, text: &'static str) -> String {
        let row = sqlx::query(text).fetch_one(pool).await.expect("a pragma");
        row.try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()))
            .expect("a text or a number")
    }

    #[tokio::test]
    async fn every_sqlite_connection_is_set_up_as_promised() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("pinfold.db");
        let db = Db::open_sqlite(&path).await.expect("it opens");
        let Db::Lite { writer, readers } = &db else {
            panic!("not SQLite");
        };
        for pool in [writer, readers] {
            assert_eq!(pragma(pool, "PRAGMA journal_mode").await, "wal");
            assert_eq!(pragma(pool, "PRAGMA foreign_keys").await, "1");
            assert_eq!(pragma(pool, "PRAGMA synchronous").await, "1");
            assert_eq!(pragma(pool, "PRAGMA busy_timeout").await, "10000");
        }
        let writing = sqlx::query("DELETE FROM settings").execute(readers).await;
        assert!(writing.is_err(), "readers cannot write");
        for file in ["pinfold.db", "pinfold.db-wal", "pinfold.db-shm"] {
            let mode = std::fs::metadata(scratch.path().join(file)).expect(file);
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn a_disk_that_was_full_leaves_a_database_that_can_be_written() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("pinfold.db");
        let db = Db::open_sqlite(&path).await.expect("it opens");
        let Db::Lite { writer, .. } = &db else {
            panic!("not SQLite");
        };
        let insert = "INSERT INTO orgs (id, name, created_at) \
                      VALUES ('org_1', hex(zeroblob(100000)), 0)";
        // Of this connection: the file may not become larger than it is.
        pragma(writer, "PRAGMA max_page_count = 1").await;
        let mut full = writer.begin_with("BEGIN IMMEDIATE").await.expect("begun");
        let refused = sqlx::query(insert).execute(&mut *full).await;
        let refused = StoreError::from(refused.expect_err("no room"));
        assert_eq!(
            pinfold_model::Error::from(refused).code(),
            pinfold_model::Code::Unavailable
        );
        drop(full);
        let mut again = writer.begin_with("BEGIN IMMEDIATE").await.expect("begun");
        let done = sqlx::query(insert).execute(&mut *again).await;
        assert_eq!(done.expect("there is room").rows_affected(), 1);
        again.commit().await.expect("committed");
    }

    #[tokio::test]
    async fn every_sqlite_table_is_strict() {
        let Db::Lite { readers, .. } = Db::in_memory().await.expect("it opens") else {
            panic!("not SQLite");
        };
        let loose = "SELECT COALESCE(group_concat(name), 'none') FROM pragma_table_list \
                     WHERE strict = 0 AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'";
        assert_eq!(pragma(&readers, loose).await, "none");
    }

    #[tokio::test]
    async fn databases_in_memory_are_apart() {
        let (a, b) = (Db::in_memory().await, Db::in_memory().await);
        for db in [a, b] {
            let Db::Lite { writer, .. } = db.expect("it opens") else {
                panic!("not SQLite");
            };
            let insert = "INSERT INTO orgs (id, name, created_at) VALUES ('org_1', 'x', 0)";
            sqlx::query(insert)
                .execute(&writer)
                .await
                .expect("an empty table");
        }
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_opened_is_named() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("missing").join("pinfold.db");
        let error = Db::open_sqlite(&path).await.expect_err("no such directory");
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
