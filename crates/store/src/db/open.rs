//! Opening databases and bringing their schema up to date.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, PgPool};

use super::lite::{BUSY_PAUSE, BUSY_TIMEOUT, Lite};
use super::{Db, Running, schema};
use crate::error::{Result, StoreError};

pub(super) static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// PostgreSQL's own default allows 100 in all, to be shared by several servers.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a request waits for a connection before it is told that the database is too busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Statements kept prepared per connection: more than this crate has.
const STATEMENT_CACHE: usize = 200;

impl Db {
    /// Opens or makes the database file and migrates it. Its directory must exist.
    pub(crate) fn open_sqlite(path: &Path) -> Running<'_, Self> {
        Box::pin(async move {
            create_private(path)?;
            let migrating = migrate_sqlite(path).await?;
            let lite = Lite::open(path)?;
            // Not before: the last connection that is closed moves the log into the file.
            migrating.close().await?;
            Ok(Self::Lite(lite))
        })
    }

    /// A database of its own that ends with the process. One connection does everything, because
    /// another would see another database.
    pub(crate) fn in_memory() -> Result<Self> {
        let made = Lite::in_memory(|connection| schema::SHIPPED.make(connection, &SQLITE));
        Ok(Self::Lite(made?))
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

/// Connects with sqlx, which knows migrations, and brings the schema up to date.
async fn migrate_sqlite(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let mut connection = connect_sqlite(&options).await?;
    // All in one write transaction, so that two processes that open a new file at once do not both create
    // the tables: sqlx takes no lock of its own on SQLite.
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Not `run`: the future of its generic `Acquire` argument is not `Send` for the compiler.
    SQLITE.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    Ok(connection)
}

/// Switching a new file to WAL while another process does so too fails as busy at once: SQLite does not
/// wait there, whatever the busy timeout says, so this does.
async fn connect_sqlite(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match SqliteConnection::connect_with(options).await {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::db::Sql;

    #[tokio::test]
    async fn every_sqlite_connection_is_set_up_as_promised() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("pinfold.db");
        let db = Db::open_sqlite(&path).await.expect("it opens");
        let Db::Lite(lite) = &db else {
            panic!("not SQLite");
        };
        lite.check_connections().await;
        for file in ["pinfold.db", "pinfold.db-wal", "pinfold.db-shm"] {
            let mode = std::fs::metadata(scratch.path().join(file)).expect(file);
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn every_sqlite_table_is_strict() {
        let Db::Lite(lite) = Db::in_memory().expect("it opens") else {
            panic!("not SQLite");
        };
        let loose = "SELECT COALESCE(group_concat(name), 'none') FROM pragma_table_list \
                     WHERE strict = 0 AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'";
        assert_eq!(lite.text(loose).await, "none");
    }

    #[tokio::test]
    async fn databases_in_memory_are_apart() {
        for db in [Db::in_memory(), Db::in_memory()] {
            let Db::Lite(lite) = db.expect("it opens") else {
                panic!("not SQLite");
            };
            let insert = "INSERT INTO orgs (id, name, created_at) VALUES ('org_1', 'x', 0)";
            let inserted = lite.execute(Sql::both(insert).query()).await;
            inserted.expect("an empty table");
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
