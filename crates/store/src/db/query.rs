//! SQL texts and their arguments, before a database is chosen.

use pinfold_model::Time;
use sqlx::Executor;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query as SqlxQuery;

use super::Row;
use crate::error::{Result, StoreError};

/// The text of one statement with `$1`, `$2`, ... for its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql {
    lite: &'static str,
    pg: &'static str,
}

/// Declares the statements of a file, and `ALL` of them so that each can be prepared on both
/// databases by a check.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: crate::db::Sql = $sql;)*
        pub(crate) const ALL: &[crate::db::Sql] = &[$($name),*];
    };
}
pub(crate) use statements;

impl Sql {
    /// One text for both databases.
    pub(crate) const fn both(text: &'static str) -> Self {
        Self {
            lite: text,
            pg: text,
        }
    }

    /// Where PostgreSQL needs a row lock that SQLite's write transaction already is.
    pub(crate) const fn split(lite: &'static str, pg: &'static str) -> Self {
        Self { lite, pg }
    }

    pub(crate) const fn lite(self) -> &'static str {
        self.lite
    }

    pub(crate) const fn pg(self) -> &'static str {
        self.pg
    }

    /// The statement with no argument yet.
    pub(crate) const fn query(self) -> Query {
        Query {
            sql: self,
            args: Vec::new(),
        }
    }

    /// The statement with its first argument.
    pub(crate) fn bind(self, arg: impl Into<Arg>) -> Query {
        self.query().bind(arg)
    }
}

/// A statement with its arguments.
pub(crate) struct Query {
    sql: Sql,
    args: Vec<Arg>,
}

impl Query {
    pub(crate) fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) const fn sql(&self) -> Sql {
        self.sql
    }

    pub(super) fn args(&self) -> &[Arg] {
        &self.args
    }

    pub(super) async fn pg_rows<'c>(
        self,
        on: impl Executor<'c, Database = Postgres>,
    ) -> Result<Vec<Row>> {
        let rows = self.pg()?.fetch_all(on).await?;
        Ok(rows.into_iter().map(Row::Pg).collect())
    }

    pub(super) async fn pg_execute<'c>(
        self,
        on: impl Executor<'c, Database = Postgres>,
    ) -> Result<u64> {
        Ok(self.pg()?.execute(on).await?.rows_affected())
    }

    fn pg(self) -> Result<SqlxQuery<'static, Postgres, PgArguments>> {
        let mut query = sqlx::query(self.sql.pg);
        for arg in self.args {
            query = match arg {
                // PostgreSQL refuses NUL in TEXT, in words of its own.
                Arg::Text(Some(text)) if text.contains('\0') => return Err(StoreError::NulInText),
                Arg::Text(text) => query.bind(text),
                Arg::Int(int) => query.bind(int),
                Arg::Blob(blob) => query.bind(blob),
            };
        }
        Ok(query)
    }
}

type OptionalText = Option<String>;
type OptionalInt = Option<i64>;
type OptionalBlob = Option<Vec<u8>>;

/// A value that both databases take: TEXT, BIGINT (INTEGER) or BYTEA (BLOB).
pub(crate) enum Arg {
    Text(OptionalText),
    Int(OptionalInt),
    Blob(OptionalBlob),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(int: i64) -> Self {
        Self::Int(Some(int))
    }
}

impl From<u32> for Arg {
    fn from(int: u32) -> Self {
        Self::Int(Some(int.into()))
    }
}

/// Counters of bytes, microseconds and the like do not reach 2^63; one that claims to is kept as
/// the largest value there is rather than as a negative one.
impl From<u64> for Arg {
    fn from(int: u64) -> Self {
        Self::Int(Some(clamp(int)))
    }
}

impl From<Option<u64>> for Arg {
    fn from(int: Option<u64>) -> Self {
        Self::Int(int.map(clamp))
    }
}

impl From<Option<i64>> for Arg {
    fn from(int: Option<i64>) -> Self {
        Self::Int(int)
    }
}

impl From<Time> for Arg {
    fn from(time: Time) -> Self {
        Self::Int(Some(time.as_microsecond()))
    }
}

impl From<Option<Time>> for Arg {
    fn from(time: Option<Time>) -> Self {
        Self::Int(time.map(Time::as_microsecond))
    }
}

impl From<[u8; 32]> for Arg {
    fn from(bytes: [u8; 32]) -> Self {
        Self::Blob(Some(bytes.to_vec()))
    }
}

impl From<&[u8]> for Arg {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(Some(bytes.to_vec()))
    }
}

impl From<Option<[u8; 32]>> for Arg {
    fn from(bytes: Option<[u8; 32]>) -> Self {
        Self::Blob(bytes.map(Vec::from))
    }
}

fn clamp(int: u64) -> i64 {
    i64::try_from(int).unwrap_or(i64::MAX)
}
