//! Public keys that open one sandbox over SSH. A row opens nothing once it has expired or its sandbox
//! has ended, and goes some time after that.

use pinfold_model::{SandboxId, SshKey, SshKeyId, Time};

use crate::db::{Db, Row, Sql, Tx, statements};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::Inserted;
use crate::page::{Page, PageRequest};

/// Repository of keys for SSH.
#[derive(Debug, Clone, Copy)]
pub struct SshKeys<'a> {
    db: &'a Db,
}

macro_rules! select {
    () => {
        "SELECT k.id, k.sandbox_id, k.project_id, k.public_key, k.fingerprint, k.created_by, \
             k.created_at, k.expires_at \
         FROM ssh_keys k "
    };
}

statements! {
    // As for previews: creations of one sandbox queue up, and none comes behind its end.
    LOCK_SANDBOX = Sql::split(
        "SELECT live FROM sandboxes WHERE id = $1",
        "SELECT live FROM sandboxes WHERE id = $1 FOR NO KEY UPDATE",
    );
    DELETE_EXPIRED = Sql::both("DELETE FROM ssh_keys WHERE sandbox_id = $1 AND expires_at <= $2");
    COUNT = Sql::both("SELECT COUNT(*) AS ssh_keys FROM ssh_keys WHERE sandbox_id = $1");
    INSERT = Sql::both(
        "INSERT INTO ssh_keys (id, sandbox_id, project_id, public_key, fingerprint, created_by, \
             created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    GET = Sql::both(concat!(select!(), "WHERE k.sandbox_id = $1 AND k.id = $2"));
    BY_FINGERPRINT = Sql::both(concat!(
        select!(), "WHERE k.sandbox_id = $1 AND k.fingerprint = $2"
    ));
    LIST = Sql::both(concat!(
        select!(),
        "JOIN sandboxes s ON s.id = k.sandbox_id \
         WHERE k.sandbox_id = $1 AND (k.created_at, k.id) < ($2, $3) \
         AND s.live = 1 AND (k.expires_at IS NULL OR k.expires_at > $5) \
         ORDER BY k.created_at DESC, k.id DESC LIMIT $4"
    ));
    DELETE = Sql::both("DELETE FROM ssh_keys WHERE sandbox_id = $1 AND id = $2");
    PURGE = Sql::both(
        "DELETE FROM ssh_keys WHERE expires_at <= $1 \
         OR EXISTS (SELECT 1 FROM sandboxes s \
                    WHERE s.id = ssh_keys.sandbox_id AND s.live = 0 AND s.ended_at <= $2)",
    );
}

impl<'a> SshKeys<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a key, or answers with the one of the same fingerprint that its sandbox has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that has ended or never was;
    /// [`StoreError::QuotaExceeded`] where it has `max` others. After an error nothing is recorded.
    pub async fn insert(&self, key: &SshKey, max: u32) -> Result<Inserted<SshKey>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, key, max).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// One key of one sandbox, also where it opens nothing any more.
    pub async fn get(&self, sandbox: &SandboxId, id: &SshKeyId) -> Result<Option<SshKey>> {
        let get = GET.bind(sandbox.as_str()).bind(id.as_str());
        let row = self.db.row(get).await?;
        row.as_ref().map(to_key).transpose()
    }

    /// The same, found by what an SSH client presents.
    pub async fn by_fingerprint(
        &self,
        sandbox: &SandboxId,
        fingerprint: &str,
    ) -> Result<Option<SshKey>> {
        let find = BY_FINGERPRINT.bind(sandbox.as_str()).bind(fingerprint);
        let row = self.db.row(find).await?;
        row.as_ref().map(to_key).transpose()
    }

    /// Those that open the sandbox at `now`, newest first; none of one that has ended.
    pub async fn list(
        &self,
        sandbox: &SandboxId,
        now: Time,
        page: &PageRequest,
    ) -> Result<Page<SshKey>> {
        let (at, id) = page.after();
        let list = LIST.bind(sandbox.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch()).bind(now)).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_key)
    }

    pub async fn delete(&self, sandbox: &SandboxId, id: &SshKeyId) -> Result<()> {
        let delete = DELETE.bind(sandbox.as_str()).bind(id.as_str());
        match self.db.execute(delete).await? {
            0 => Err(StoreError::not_found(Thing::SshKey, id.as_str())),
            _ => Ok(()),
        }
    }

    /// Forgets what has expired, and keys of sandboxes that ended at `ended_by` or before; answers
    /// how many.
    pub async fn purge(&self, now: Time, ended_by: Time) -> Result<u64> {
        self.db.execute_slowly(PURGE.bind(now).bind(ended_by)).await
    }
}

async fn insert(tx: &mut Tx, key: &SshKey, max: u32) -> Result<Inserted<SshKey>> {
    let sandbox = key.sandbox.as_str();
    let row = tx.row(LOCK_SANDBOX.bind(sandbox)).await?;
    if !matches!(row.map(|row| row.int("live")).transpose()?, Some(1)) {
        return Err(StoreError::not_found(Thing::Sandbox, sandbox));
    }
    let expired = DELETE_EXPIRED.bind(sandbox).bind(key.created_at);
    tx.execute(expired).await?;
    let holder = BY_FINGERPRINT.bind(sandbox).bind(key.fingerprint.as_str());
    if let Some(row) = tx.row(holder).await? {
        return Ok(Inserted::Replay(to_key(&row)?));
    }
    let row = tx.row(COUNT.bind(sandbox)).await?;
    let used: u64 = row.map_or(Ok(0), |row| row.number("ssh_keys"))?;
    if used >= u64::from(max) {
        return Err(StoreError::QuotaExceeded {
            of: QuotaOf::Sandbox,
            quota: QuotaKind::SshKeys,
            limit: max.into(),
            used,
            wanted: 1,
        });
    }
    let insert = INSERT
        .bind(key.id.as_str())
        .bind(sandbox)
        .bind(key.project.as_str())
        .bind(key.public_key.as_str())
        .bind(key.fingerprint.as_str())
        .bind(key.created_by.as_ref().map(|key| key.as_str()))
        .bind(key.created_at)
        .bind(key.expires_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::SshKey, key.id.as_str()))?;
    Ok(Inserted::New(key.clone()))
}

fn to_key(row: &Row) -> Result<SshKey> {
    Ok(SshKey {
        id: row.parse("id")?,
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        public_key: row.text("public_key")?,
        fingerprint: row.text("fingerprint")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        created_by: row.opt_parse("created_by")?,
    })
}
