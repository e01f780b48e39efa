//! What a request may take.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::limits::Limit;

/// Bounds of one request to one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For all of its statements together.
    pub time: Duration,
    /// Of SQLite, beside the answer.
    pub memory_bytes: u64,
    /// Of the database's file; its journal may be as large again while a request runs.
    pub database_bytes: u64,
    /// Rows of one answer; what follows is left out, and the answer says so.
    pub rows: usize,
    /// The same of the bytes that all answers of one request hold.
    pub answer_bytes: usize,
    /// Statements of one batch.
    pub statements: usize,
    /// One text or blob, or one row of a table.
    pub value_bytes: i32,
    pub sql_bytes: i32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            memory_bytes: 48 << 20,
            database_bytes: 64 << 20,
            rows: 10_000,
            answer_bytes: 8 << 20,
            statements: 100,
            value_bytes: 1 << 20,
            sql_bytes: 100 << 10,
        }
    }
}

/// Of what nobody needs more, and what more would cost too much.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_COLUMN, 200),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    // A match takes time by the product of both lengths, and nothing interrupts it.
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1000),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
    // Other threads would take what this one is not allowed.
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

impl Bounds {
    pub(crate) fn limit(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (limit, value) in LIMITS {
            connection.set_limit(limit, value)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.value_bytes)?;
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, self.sql_bytes)?;
        Ok(())
    }
}
