//! Running one statement on a connection.

use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection};

use crate::db::query::Arg;
use crate::db::row::LiteRow;
use crate::db::{Query, Row};
use crate::error::{Result, StoreError};

pub(super) fn rows(connection: &Connection, query: &Query) -> Result<Vec<Row>> {
    let mut all = Vec::new();
    each(connection, query, |row| all.push(row))?;
    Ok(all)
}

/// The first row. What the statement changes is done by then: SQLite changes everything before it
/// returns anything.
pub(super) fn row(connection: &Connection, query: &Query) -> Result<Option<Row>> {
    let mut first = None;
    each(connection, query, |row| {
        first.get_or_insert(row);
    })?;
    Ok(first)
}

/// How many rows it changed.
pub(super) fn execute(connection: &Connection, query: &Query) -> Result<u64> {
    let mut statement = bound(connection, query)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(connection.changes())
}

/// A statement without arguments and rows.
pub(super) fn run(connection: &Connection, sql: &'static str) -> Result<()> {
    connection.prepare_cached(sql)?.execute(())?;
    Ok(())
}

fn each(connection: &Connection, query: &Query, mut take: impl FnMut(Row)) -> Result<()> {
    let mut statement = bound(connection, query)?;
    let names = statement.column_names().into_iter().map(Box::from);
    let names: Arc<[Box<str>]> = names.collect();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..names.len()).map(|at| row.get::<_, Value>(at));
        let values = values.collect::<Result<_, _>>()?;
        take(Row::Lite(LiteRow::new(Arc::clone(&names), values)));
    }
    Ok(())
}

/// SQLite numbers its parameters in the order in which they are first named; ours have their numbers in
/// their names. What is named and not given is null.
fn bound<'c>(connection: &'c Connection, query: &Query) -> Result<CachedStatement<'c>> {
    let mut statement = connection.prepare_cached(query.sql().lite())?;
    for at in 1..=statement.parameter_count() {
        let name = statement.parameter_name(at).unwrap_or_default();
        let number: usize = name.trim_start_matches('$').parse().unwrap_or(at);
        match query.args().get(number.wrapping_sub(1)) {
            // PostgreSQL refuses NUL in TEXT; both databases shall take the same texts.
            Some(Arg::Text(Some(text))) if text.contains('\0') => {
                return Err(StoreError::NulInText);
            }
            Some(arg) => statement.raw_bind_parameter(at, arg)?,
            None => {}
        }
    }
    Ok(statement)
}

impl ToSql for Arg {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(int)) => ValueRef::Integer(*int),
            Self::Blob(Some(blob)) => ValueRef::Blob(blob),
            Self::Text(None) | Self::Int(None) | Self::Blob(None) => ValueRef::Null,
        }))
    }
}
