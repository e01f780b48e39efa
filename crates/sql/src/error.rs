//! Why a request came to nothing. What stands in `Failed` is SQLite's own text about the caller's own SQL
//! and data; it names no file.

use std::io;

use pinfold_sys::sqlite::TooLate;

#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// SQLite says no: syntax, a missing table, a constraint.
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("the statements took longer than {0} seconds")]
    Time(u64),
    #[error("the statement takes more memory than {0} MiB")]
    Memory(u64),
    /// Or the machine's disk has no room for it: SQLite tells both with one word.
    #[error("the database may hold {0} MiB, and there is no room for more")]
    Full(u64),
    #[error("a batch may have {0} statements at most")]
    TooMany(usize),
    #[error("the database is not whole: {0}")]
    Damaged(String),
    #[error(transparent)]
    Unbounded(#[from] TooLate),
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("a database's file")]
    File(#[from] io::Error),
}

/// What hostile SQL is not let do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("PRAGMA {0} is not allowed here")]
    Pragma(String),
    #[error("the function {0} is not allowed here")]
    Function(String),
    #[error("a statement may name {0} functions at most")]
    Functions(u32),
    #[error("the table {0} is not allowed here")]
    Table(String),
    #[error("virtual tables are not allowed here")]
    VirtualTable,
    #[error("ATTACH, DETACH and VACUUM are not allowed here")]
    OtherDatabase,
    #[error(
        "each request is a transaction: BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not allowed here"
    )]
    Transaction,
    #[error("this kind of statement is not allowed here")]
    Unknown,
}
