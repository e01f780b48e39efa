//! Reading columns by name, the same from both databases.

use std::str::FromStr;
use std::sync::Arc;

use pinfold_model::Time;
use rusqlite::types::{FromSql, Value, ValueRef};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row as _, Type};

use crate::error::{Result, StoreError};

pub(crate) enum Row {
    Lite(LiteRow),
    Pg(PgRow),
}

/// Values with the names that all rows of one answer share.
pub(crate) struct LiteRow {
    names: Arc<[Box<str>]>,
    values: Box<[Value]>,
}

impl LiteRow {
    /// As many values as names.
    pub(super) const fn new(names: Arc<[Box<str>]>, values: Box<[Value]>) -> Self {
        Self { names, values }
    }

    fn get<T: FromSql>(&self, column: &'static str) -> Result<T> {
        let at = self.names.iter().position(|name| **name == *column);
        let value = at.map(|at| ValueRef::from(&self.values[at]));
        let value = value.ok_or_else(|| StoreError::corrupt(column, "no such column"))?;
        T::column_result(value).map_err(|e| StoreError::corrupt(column, e))
    }
}

impl Row {
    pub(crate) fn text(&self, column: &'static str) -> Result<String> {
        self.get(column)
    }

    pub(crate) fn opt_text(&self, column: &'static str) -> Result<Option<String>> {
        self.get(column)
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<i64> {
        self.get(column)
    }

    pub(crate) fn opt_int(&self, column: &'static str) -> Result<Option<i64>> {
        self.get(column)
    }

    pub(crate) fn real(&self, column: &'static str) -> Result<f64> {
        self.get(column)
    }

    /// A whole number that fits the wanted type.
    pub(crate) fn number<T>(&self, column: &'static str) -> Result<T>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        T::try_from(self.int(column)?).map_err(|e| StoreError::corrupt(column, e))
    }

    pub(crate) fn opt_number<T>(&self, column: &'static str) -> Result<Option<T>>
    where
        T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
    {
        self.opt_int(column)?
            .map(|int| T::try_from(int).map_err(|e| StoreError::corrupt(column, e)))
            .transpose()
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        self.get(column)
    }

    pub(crate) fn hash(&self, column: &'static str) -> Result<[u8; 32]> {
        let bytes: Vec<u8> = self.get(column)?;
        <[u8; 32]>::try_from(bytes).map_err(|_| StoreError::corrupt(column, "not 32 bytes"))
    }

    pub(crate) fn opt_hash(&self, column: &'static str) -> Result<Option<[u8; 32]>> {
        let bytes: Option<Vec<u8>> = self.get(column)?;
        bytes
            .map(<[u8; 32]>::try_from)
            .transpose()
            .map_err(|_| StoreError::corrupt(column, "not 32 bytes"))
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Time> {
        parse_time(column, self.int(column)?)
    }

    pub(crate) fn opt_time(&self, column: &'static str) -> Result<Option<Time>> {
        self.opt_int(column)?
            .map(|at| parse_time(column, at))
            .transpose()
    }

    pub(crate) fn parse<T>(&self, column: &'static str) -> Result<T>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        parse_text(column, &self.text(column)?)
    }

    pub(crate) fn opt_parse<T>(&self, column: &'static str) -> Result<Option<T>>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        self.opt_text(column)?
            .map(|text| parse_text(column, &text))
            .transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|e| StoreError::corrupt(column, e))
    }

    fn get<'r, T>(&'r self, column: &'static str) -> Result<T>
    where
        T: FromSql + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Lite(row) => row.get(column),
            Self::Pg(row) => row
                .try_get(column)
                .map_err(|e| StoreError::corrupt(column, e)),
        }
    }
}

fn parse_time(column: &'static str, at: i64) -> Result<Time> {
    Time::from_microsecond(at).map_err(|e| StoreError::corrupt(column, e))
}

fn parse_text<T>(column: &'static str, text: &str) -> Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|e| StoreError::corrupt(column, e))
}

/// A document for a TEXT column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the model's documents have text keys and no fallible part")
}
