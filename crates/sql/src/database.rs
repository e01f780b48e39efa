//! One request to one database, from the opening of its file to the end of its transaction.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pinfold_sys::sqlite::{Allowance, Spent, unbounded};
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags};

use crate::bounds::Bounds;
use crate::error::SqlError;
use crate::functions::replace_slow_ones;
use crate::guard::Guard;
use crate::value::Value;

/// SQLite goes as deep into itself as queries, views and expressions of others are nested, which nothing
/// but their memory bounds. Only what is touched of it is there.
const STACK_BYTES: usize = 512 << 20;
/// Instructions of a program between two looks at the clock.
const LOOK_EVERY: i32 = 1000;
const PAGE_BYTES: u64 = 4096;

/// The file of one database, which the first request makes.
#[derive(Debug, Clone)]
pub struct Database {
    path: PathBuf,
    bounds: Bounds,
}

/// One statement with the values of its `?`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub sql: String,
    pub params: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The type it was declared with; empty for what is no column of a table.
    pub declared: String,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    /// There were more rows than an answer holds.
    pub cut: bool,
    /// Rows that were inserted, changed or deleted.
    pub changes: u64,
    pub took: Duration,
}

impl Database {
    /// A database in an existing directory.
    #[must_use]
    pub fn new(path: PathBuf, bounds: Bounds) -> Self {
        Self { path, bounds }
    }

    /// Runs one statement, which is a transaction of its own. Blocks until its end.
    ///
    /// # Errors
    /// Then nothing has changed.
    pub fn query(&self, statement: &Statement) -> Result<Answer, SqlError> {
        let mut answers = self
            .batch(std::slice::from_ref(statement))
            .map_err(|(_, error)| error)?;
        Ok(answers.pop().expect("one statement has one answer"))
    }

    /// Runs statements in one transaction, in their order. Blocks until their end.
    ///
    /// # Errors
    /// The place of the one that failed, or of the first where all did. Then nothing has changed.
    pub fn batch(&self, statements: &[Statement]) -> Result<Vec<Answer>, (usize, SqlError)> {
        if statements.len() > self.bounds.statements {
            return Err((0, SqlError::TooMany(self.bounds.statements)));
        }
        let run = || {
            let run = AssertUnwindSafe(|| self.run(statements));
            // The library panics where it does not expect memory to end.
            catch_unwind(run).unwrap_or_else(|_| Err((0, self.no_memory())))
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            let running = thread.spawn_scoped(scope, run);
            let running = running.map_err(|error| (0, error.into()))?;
            running
                .join()
                .unwrap_or_else(|_| Err((0, self.no_memory())))
        })
    }

    /// Removes the database, where there is one. Nobody may be using it.
    pub fn remove(&self) -> io::Result<()> {
        // The database last: by its name what a crash leaves here is found again.
        for path in [journal(&self.path), self.path.clone()] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn run(&self, statements: &[Statement]) -> Result<Vec<Answer>, (usize, SqlError)> {
        let until = Instant::now() + self.bounds.time;
        // Dropped behind the connection, whose closing is no caller's doing.
        let allowance =
            Allowance::new(self.bounds.memory_bytes, until).map_err(|e| (0, e.into()))?;
        let guard = Guard::default();
        let opened = unbounded(|| self.open(&guard, until));
        let connection = opened.map_err(|error| (0, self.told(error, &allowance)))?;
        let run = Run {
            bounds: &self.bounds,
            connection: &connection,
            guard,
            room: self.bounds.answer_bytes,
        };
        let result = run.transaction(statements);
        let result = result.map_err(|(at, failure)| match failure {
            Failure::Ours(error) => (at, error),
            Failure::Sqlite(error) => (at, self.told(error, &allowance)),
        });
        unbounded(|| drop(connection));
        result
    }

    fn open(&self, guard: &Guard, until: Instant) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        let pages = self.bounds.database_bytes / PAGE_BYTES;
        // A journal of its own, no write-ahead log: the file is whole after each request, and one file. What
        // is temporary is memory, which is bounded, and never a file, which would not be.
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = FULL; PRAGMA temp_store = MEMORY; \
             PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA cache_size = -2048; \
             PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA max_page_count = {pages};"
        ))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.busy_timeout(self.bounds.time)?;
        replace_slow_ones(&connection, self.bounds.value_bytes)?;
        self.bounds.limit(&connection)?;
        guard.watch(&connection, until)?;
        connection.progress_handler(LOOK_EVERY, Some(move || Instant::now() >= until))?;
        Ok(connection)
    }

    fn told(&self, error: rusqlite::Error, allowance: &Allowance) -> SqlError {
        let code = error.sqlite_error_code();
        match (allowance.spent(), code) {
            (Some(Spent::Time), _) | (_, Some(ErrorCode::OperationInterrupted)) => {
                SqlError::Time(self.bounds.time.as_secs())
            }
            (Some(Spent::Memory), _) | (_, Some(ErrorCode::OutOfMemory)) => self.no_memory(),
            (_, Some(ErrorCode::DiskFull)) => {
                SqlError::Full(self.bounds.database_bytes.div_ceil(1 << 20))
            }
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                SqlError::Damaged(said(error))
            }
            (
                _,
                Some(
                    ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::PermissionDenied
                    | ErrorCode::SystemIoFailure,
                ),
            ) => SqlError::Unreachable(said(error)),
            _ => SqlError::Failed(said(error)),
        }
    }

    fn no_memory(&self) -> SqlError {
        SqlError::Memory(self.bounds.memory_bytes >> 20)
    }
}

/// SQLite's own words, without the statement, which the caller knows.
fn said(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text,
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::MultipleStatement => "give one statement at a time".to_owned(),
        rusqlite::Error::InvalidParameterCount(given, wanted) => {
            format!("the statement has {wanted} parameters, and {given} values are given")
        }
        other => other.to_string(),
    }
}

fn journal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

enum Failure {
    Ours(SqlError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

struct Run<'a> {
    bounds: &'a Bounds,
    connection: &'a Connection,
    guard: Guard,
    /// Bytes that the answers may still hold.
    room: usize,
}

impl Run<'_> {
    fn transaction(mut self, statements: &[Statement]) -> Result<Vec<Answer>, (usize, Failure)> {
        self.own("BEGIN").map_err(|error| (0, error.into()))?;
        let mut answers = Vec::with_capacity(statements.len());
        for (at, statement) in statements.iter().enumerate() {
            self.guard.begin();
            let answer = self.statement(statement);
            let denied = self.guard.end();
            match answer {
                Ok(answer) => answers.push(answer),
                Err(failure) => {
                    // SQLite may have rolled back by itself.
                    let _ = self.own("ROLLBACK");
                    let failure = match denied {
                        Some(denied) => Failure::Ours(denied.into()),
                        None => failure,
                    };
                    return Err((at, failure));
                }
            }
        }
        if let Err(error) = self.own("COMMIT") {
            let _ = self.own("ROLLBACK");
            let last = statements.len().saturating_sub(1);
            return Err((last, error.into()));
        }
        Ok(answers)
    }

    /// A statement of ours, which is small, and which nothing may stop half-way.
    fn own(&self, sql: &str) -> rusqlite::Result<()> {
        unbounded(|| self.connection.execute_batch(sql))
    }

    fn statement(&mut self, wanted: &Statement) -> Result<Answer, Failure> {
        let began = Instant::now();
        let before = self.connection.total_changes();
        let mut compiled = Batch::new(self.connection, &wanted.sql);
        let none = || Failure::Ours(SqlError::Failed("there is no statement".to_owned()));
        let mut statement = compiled.next()?.ok_or_else(none)?;
        if compiled.next()?.is_some() {
            return Err(rusqlite::Error::MultipleStatement.into());
        }
        let (given, takes) = (wanted.params.len(), statement.parameter_count());
        if given != takes {
            return Err(rusqlite::Error::InvalidParameterCount(given, takes).into());
        }
        for (n, value) in wanted.params.iter().enumerate() {
            statement.raw_bind_parameter(n + 1, value)?;
        }
        let columns = self.columns(&statement)?;
        let mut answer = Answer {
            rows: Vec::new(),
            cut: false,
            changes: 0,
            took: Duration::ZERO,
            columns,
        };
        self.rows(&mut statement, &mut answer)?;
        statement.finalize()?;
        if self.connection.total_changes() != before {
            answer.changes = self.connection.changes();
        }
        answer.took = began.elapsed();
        Ok(answer)
    }

    /// They take of the answer's room as rows do: a name may be as long as a statement.
    fn columns(&mut self, statement: &rusqlite::Statement<'_>) -> Result<Vec<Column>, Failure> {
        let columns = statement.columns();
        let told = columns
            .iter()
            .map(|column| (column.name(), column.decl_type().unwrap_or_default()));
        let weight = told
            .clone()
            .map(|(name, declared)| name.len() + declared.len() + size_of::<Column>())
            .sum();
        let too_long = || SqlError::Failed("the names of its columns are too long".to_owned());
        let room = self.room.checked_sub(weight);
        self.room = room.ok_or_else(|| Failure::Ours(too_long()))?;
        let told = told.map(|(name, declared)| Column {
            name: name.to_owned(),
            declared: declared.to_owned(),
        });
        Ok(told.collect())
    }

    fn rows(
        &mut self,
        statement: &mut rusqlite::Statement<'_>,
        answer: &mut Answer,
    ) -> rusqlite::Result<()> {
        let count = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if answer.rows.len() >= self.bounds.rows {
                answer.cut = true;
                return Ok(());
            }
            // Each value is bounded, and the library takes it as given that there is memory for it.
            let read = || {
                (0..count)
                    .map(|n| row.get_ref(n).map(Value::from))
                    .collect()
            };
            let values: Vec<Value> = unbounded::<rusqlite::Result<_>>(read)?;
            let weight = values.iter().map(Value::weight).sum();
            let Some(room) = self.room.checked_sub(weight) else {
                answer.cut = true;
                return Ok(());
            };
            self.room = room;
            answer.rows.push(values);
        }
        Ok(())
    }
}
