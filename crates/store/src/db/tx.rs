//! A transaction on either database.

use sqlx::{Postgres, Transaction};

use super::lite::LiteTx;
use super::{Query, Row, Running};
use crate::error::Result;

/// Rolled back when dropped before [`Tx::commit`].
pub(crate) enum Tx {
    Lite(LiteTx),
    Pg(Transaction<'static, Postgres>),
}

impl Tx {
    pub(crate) fn rows(&mut self, query: Query) -> Running<'_, Vec<Row>> {
        match self {
            Self::Lite(tx) => Box::pin(tx.rows(query)),
            Self::Pg(tx) => Box::pin(query.pg_rows(&mut **tx)),
        }
    }

    pub(crate) async fn row(&mut self, query: Query) -> Result<Option<Row>> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    pub(crate) fn execute(&mut self, query: Query) -> Running<'_, u64> {
        match self {
            Self::Lite(tx) => Box::pin(tx.execute(query)),
            Self::Pg(tx) => Box::pin(query.pg_execute(&mut **tx)),
        }
    }

    pub(crate) fn commit(self) -> Running<'static, ()> {
        Box::pin(async move {
            match self {
                Self::Lite(tx) => tx.commit()?,
                Self::Pg(tx) => tx.commit().await?,
            }
            Ok(())
        })
    }
}
