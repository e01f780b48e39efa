//! Secrets of the installation itself, such as the pepper of the keys' hashes.

use crate::db::{Db, Sql, statements};
use crate::error::Result;

/// Repository of settings.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    db: &'a Db,
}

statements! {
    GET = Sql::both("SELECT value FROM settings WHERE name = $1");
    INSERT = Sql::both(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
    );
}

impl<'a> Settings<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// The 32 random bytes kept under `name`, made at the first call. Callers that race, also from
    /// several servers, all get the same bytes.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32]> {
        if let Some(row) = self.db.row(GET.bind(name)).await? {
            return row.hash("value");
        }
        let fresh: [u8; 32] = rand::random();
        self.db.execute(INSERT.bind(name).bind(fresh)).await?;
        match self.db.row(GET.bind(name)).await? {
            Some(row) => row.hash("value"),
            None => Err(crate::StoreError::corrupt("value", "a setting vanished")),
        }
    }
}
