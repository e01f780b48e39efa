//! The two databases behind one small interface: run a [`Query`], get [`Row`]s, open a [`Tx`].
//!
//! Nothing outside this module names a sqlx type of one database. SQLite has one connection that
//! writes and a few that read; PostgreSQL has one pool for both.

mod open;
mod query;
mod row;
mod schema;
mod tx;

use std::future::Future;
use std::pin::Pin;

use sqlx::{Executor, PgPool, SqlSafeStr, SqlitePool};

use crate::error::Result;

pub(crate) use query::{Query, Sql, statements};
pub(crate) use row::{Row, to_json};
pub(crate) use tx::Tx;

/// Cheap to clone: pools are shared.
#[derive(Debug, Clone)]
pub(crate) enum Db {
    Lite {
        /// Exactly one connection, so that writers queue here instead of meeting SQLITE_BUSY.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Pg(PgPool),
}

/// Boxed, because the compiler cannot see through sqlx's generic executors that the future of a
/// caller several layers up is `Send` for every lifetime.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Db {
    /// Runs a query that only reads.
    pub(crate) fn rows(&self, query: Query) -> Running<'_, Vec<Row>> {
        match self {
            Self::Lite { readers, .. } => Box::pin(query.lite_rows(readers)),
            Self::Pg(pool) => Box::pin(query.pg_rows(pool)),
        }
    }

    /// The first row of a query that only reads.
    pub(crate) async fn row(&self, query: Query) -> Result<Option<Row>> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Runs one changing statement as a transaction of its own; answers how many rows changed.
    pub(crate) fn execute(&self, query: Query) -> Running<'_, u64> {
        match self {
            Self::Lite { writer, .. } => Box::pin(query.lite_execute(writer)),
            Self::Pg(pool) => Box::pin(query.pg_execute(pool)),
        }
    }

    /// The same for a statement with RETURNING: its first row.
    pub(crate) async fn change(&self, query: Query) -> Result<Option<Row>> {
        let rows: Running<'_, Vec<Row>> = match self {
            Self::Lite { writer, .. } => Box::pin(query.lite_rows(writer)),
            Self::Pg(pool) => Box::pin(query.pg_rows(pool)),
        };
        Ok(rows.await?.into_iter().next())
    }

    /// Begins a transaction that may write. Dropping it without a commit rolls it back.
    pub(crate) fn begin(&self) -> Running<'_, Tx> {
        Box::pin(async move {
            match self {
                // IMMEDIATE takes the write lock now: a transaction that reads first and then
                // writes could otherwise fail half-way when another process wrote in between.
                Self::Lite { writer, .. } => {
                    Ok(Tx::Lite(writer.begin_with("BEGIN IMMEDIATE").await?))
                }
                Self::Pg(pool) => Ok(Tx::Pg(pool.begin().await?)),
            }
        })
    }

    /// Parses and plans a statement without running it.
    pub(crate) fn prepare(&self, sql: Sql) -> Running<'_, ()> {
        Box::pin(async move {
            match self {
                Self::Lite { readers, .. } => {
                    readers.prepare(sql.lite().into_sql_str()).await?;
                }
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
            Self::Lite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Pg(pool) => pool.close().await,
        }
    }
}
