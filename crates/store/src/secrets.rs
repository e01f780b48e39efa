//! Secrets: their names, and their values as they were sealed. What a seal is, the engine knows.

use pinfold_model::{ProjectId, Secret, SecretId};

use crate::db::{Db, Row, Sql, statements};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Page, PageRequest};

/// Repository of secrets.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, project_id, name, created_by, created_at, updated_at"
    };
}

macro_rules! put {
    ($sealed:literal) => {
        concat!(
            "INSERT INTO secrets (",
            columns!(),
            ", sealed) \
             SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT), ",
            $sealed,
            " WHERE (SELECT COUNT(*) FROM secrets WHERE project_id = $2 AND name <> $3) \
                 < CAST($8 AS BIGINT) \
             ON CONFLICT (project_id, name) \
             DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at \
                 WHERE secrets.id = excluded.id \
             RETURNING ",
            columns!()
        )
    };
}

statements! {
    // A value is sealed for one id, so what was sealed for another one replaces nothing. Who made it
    // and when stays.
    PUT = Sql::split(put!("$7"), put!("CAST($7 AS BYTEA)"));
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM secrets WHERE project_id = $1 AND name = $2"
    ));
    BY_ID = Sql::both(concat!(
        "SELECT ", columns!(), " FROM secrets WHERE project_id = $1 AND id = $2"
    ));
    SEALED = Sql::both(concat!(
        "SELECT ", columns!(), ", sealed FROM secrets WHERE project_id = $1 AND name = $2"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM secrets \
         WHERE project_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    COUNT = Sql::both("SELECT COUNT(*) AS secrets FROM secrets WHERE project_id = $1");
    ANY = Sql::both("SELECT sealed FROM secrets ORDER BY updated_at DESC LIMIT 1");
    DELETE = Sql::both("DELETE FROM secrets WHERE project_id = $1 AND name = $2");
}

impl<'a> Secrets<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Makes the secret, or gives the one of that id a new value; the secret as it is then. `None`
    /// where another one has the name, or where the project has `max` others.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without its project.
    pub async fn put(&self, secret: &Secret, sealed: &[u8], max: u32) -> Result<Option<Secret>> {
        let put = PUT
            .bind(secret.id.as_str())
            .bind(secret.project.as_str())
            .bind(secret.name.as_str())
            .bind(secret.created_by.as_ref().map(|key| key.as_str()))
            .bind(secret.created_at)
            .bind(secret.updated_at)
            .bind(sealed)
            .bind(max);
        let row = self.db.change(put).await;
        let row = row.map_err(|e| e.on_missing(Thing::Project, secret.project.as_str()))?;
        row.as_ref().map(to_secret).transpose()
    }

    pub async fn get(&self, project: &ProjectId, name: &str) -> Result<Option<Secret>> {
        let row = self.db.row(GET.bind(project.as_str()).bind(name)).await?;
        row.as_ref().map(to_secret).transpose()
    }

    pub async fn by_id(&self, project: &ProjectId, id: &SecretId) -> Result<Option<Secret>> {
        let by_id = BY_ID.bind(project.as_str()).bind(id.as_str());
        let row = self.db.row(by_id).await?;
        row.as_ref().map(to_secret).transpose()
    }

    /// A secret with its value as it was sealed.
    pub async fn sealed(
        &self,
        project: &ProjectId,
        name: &str,
    ) -> Result<Option<(Secret, Vec<u8>)>> {
        let row = self
            .db
            .row(SEALED.bind(project.as_str()).bind(name))
            .await?;
        row.map(|row| Ok((to_secret(&row)?, row.bytes("sealed")?)))
            .transpose()
    }

    /// Newest first.
    pub async fn list(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Secret>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_secret)
    }

    pub async fn count(&self, project: &ProjectId) -> Result<u32> {
        match self.db.row(COUNT.bind(project.as_str())).await? {
            Some(row) => row.number("secrets"),
            None => Ok(0),
        }
    }

    /// The value that was sealed last in the whole installation: it tells under which key.
    pub async fn last_sealed(&self) -> Result<Option<Vec<u8>>> {
        let row = self.db.row(ANY.query()).await?;
        row.map(|row| row.bytes("sealed")).transpose()
    }

    pub async fn delete(&self, project: &ProjectId, name: &str) -> Result<()> {
        let delete = DELETE.bind(project.as_str()).bind(name);
        match self.db.execute(delete).await? {
            0 => Err(StoreError::not_found(Thing::Secret, name)),
            _ => Ok(()),
        }
    }
}

fn to_secret(row: &Row) -> Result<Secret> {
    Ok(Secret {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        created_by: row.opt_parse("created_by")?,
    })
}
