//! The two databases behind one small interface: run a [`Query`], get [`Row`]s, open a [`Tx`].
//!
//! Nothing outside this module names a type of one database. SQLite has one connection that writes and a
//! few that read, and runs where it is asked; PostgreSQL has one pool of sqlx for both.

mod lite;
mod open;
mod query;
mod row;
mod schema;
mod tx;

use std::future::Future;
use std::pin::Pin;

use sqlx::{Executor, PgPool, SqlSafeStr};

use crate::error::Result;

use lite::Lite;

pub(crate) use query::{Query, Sql, statements};
pub(crate) use row::{Row, to_json};
pub(crate) use tx::Tx;

/// Cheap to clone: pools are shared.
#[derive(Debug, Clone)]
pub(crate) enum Db {
    Lite(Lite),
    Pg(PgPool),
}

/// Boxed, because the compiler cannot see through sqlx's generic executors that the future of a
/// caller several layers up is `Send` for every lifetime.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Db {
    /// Runs a query that only reads.
    pub(crate) fn rows(&self, query: Query) -> Running<'_, Vec<Row>> {
        match self {
            Self::Lite(lite) => Box::pin(lite.rows(query)),
            Self::Pg(pool) => Box::pin(query.pg_rows(pool)),
        }
    }

    /// The few rows of a query that only reads, and finds them by a key, as [`Self::row`] does.
    pub(crate) fn few(&self, query: Query) -> Running<'_, Vec<Row>> {
        match self {
            Self::Lite(lite) => Box::pin(lite.few(query)),
            Self::Pg(pool) => Box::pin(query.pg_rows(pool)),
        }
    }

    /// The first row of a query that only reads, and finds it by a key: SQLite looks for it in the thread of
    /// the caller.
    pub(crate) fn row(&self, query: Query) -> Running<'_, Option<Row>> {
        match self {
            Self::Lite(lite) => Box::pin(lite.row(query)),
            Self::Pg(pool) => Box::pin(first(query.pg_rows(pool))),
        }
    }

    /// Runs one changing statement as a transaction of its own; answers how many rows changed.
    pub(crate) fn execute(&self, query: Query) -> Running<'_, u64> {
        match self {
            Self::Lite(lite) => Box::pin(lite.execute(query)),
            Self::Pg(pool) => Box::pin(query.pg_execute(pool)),
        }
    }

    /// The same for what may change any number of rows, such as all that are too old: SQLite does it on a
    /// thread that may block.
    pub(crate) fn execute_slowly(&self, query: Query) -> Running<'_, u64> {
        match self {
            Self::Lite(lite) => Box::pin(lite.execute_slowly(query)),
            Self::Pg(pool) => Box::pin(query.pg_execute(pool)),
        }
    }

    /// The same for a statement with RETURNING: its first row.
    pub(crate) fn change(&self, query: Query) -> Running<'_, Option<Row>> {
        match self {
            Self::Lite(lite) => Box::pin(lite.change(query)),
            Self::Pg(pool) => Box::pin(first(query.pg_rows(pool))),
        }
    }

    /// Begins a transaction that may write. Dropping it without a commit rolls it back.
    pub(crate) fn begin(&self) -> Running<'_, Tx> {
        Box::pin(async move {
            match self {
                Self::Lite(lite) => Ok(Tx::Lite(lite.begin().await?)),
                Self::Pg(pool) => Ok(Tx::Pg(pool.begin().await?)),
            }
        })
    }

    /// Parses and plans a statement without running it.
    pub(crate) fn prepare(&self, sql: Sql) -> Running<'_, ()> {
        Box::pin(async move {
            match self {
                Self::Lite(lite) => lite.prepare(sql).await?,
                Self::Pg(pool) => {
                    pool.prepare(sql.pg().into_sql_str()).await?;
                }
            }
            Ok(())
        })
    }

    /// Closes every connection after the work in flight.
    pub(crate) async fn close(&self) {
        match self {
            Self::Lite(lite) => lite.close().await,
            Self::Pg(pool) => pool.close().await,
        }
    }
}

async fn first(rows: impl Future<Output = Result<Vec<Row>>>) -> Result<Option<Row>> {
    Ok(rows.await?.into_iter().next())
}
