//! API keys. Only a keyed hash of a secret is ever stored.

use std::time::Duration;

use pinfold_model::{Key, KeyId, OrgId, Quota, Scopes, Time};

use crate::db::{Db, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Page, PageRequest};
use crate::quota::{bind_quota, to_quota};

/// Repository of keys.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    db: &'a Db,
}

/// How exact "last used" is: noting every request would make each of them a write.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

macro_rules! columns {
    () => {
        "id, org_id, project_id, name, kind, role, prefix, suffix, quota_live_sandboxes, \
         quota_vcpu_millis, quota_memory_mib, created_at, expires_at, revoked_at, last_used_at, \
         scopes"
    };
}

statements! {
    INSERT = Sql::both(concat!(
        "INSERT INTO keys (", columns!(), ", secret_hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
    ));
    BY_HASH = Sql::both(concat!("SELECT ", columns!(), " FROM keys WHERE secret_hash = $1"));
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM keys WHERE id = $1"));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM keys \
         WHERE org_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    REVOKE = Sql::both(concat!(
        "UPDATE keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 RETURNING ",
        columns!()
    ));
    SET_QUOTA = Sql::both(concat!(
        "UPDATE keys SET quota_live_sandboxes = $2, quota_vcpu_millis = $3, quota_memory_mib = $4 \
         WHERE id = $1 RETURNING ", columns!()
    ));
    TOUCH = Sql::both(
        "UPDATE keys SET last_used_at = $2 \
         WHERE id = $1 AND (last_used_at <= $3 OR last_used_at IS NULL)",
    );
}

impl<'a> Keys<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Fails with [`StoreError::AlreadyExists`] where the id or the secret is known already, and
    /// with [`StoreError::NotFound`] where there is no such project.
    pub async fn insert(&self, key: &Key, secret_hash: [u8; 32]) -> Result<()> {
        let insert = INSERT
            .bind(key.id.as_str())
            .bind(key.org.as_str())
            .bind(key.project.as_str())
            .bind(key.name.as_str())
            .bind(key.kind.as_str())
            .bind(key.role.as_str())
            .bind(key.prefix.as_str())
            .bind(key.suffix.as_str());
        let insert = bind_quota(insert, key.quota)
            .bind(key.created_at)
            .bind(key.expires_at)
            .bind(key.revoked_at)
            .bind(key.last_used_at)
            .bind(key.scopes.texts().as_ref().map(to_json))
            .bind(secret_hash);
        let done = self.db.execute(insert).await;
        done.map_err(|e| {
            e.on_unique(Thing::Key, key.id.as_str())
                .on_missing(Thing::Project, key.project.as_str())
        })?;
        Ok(())
    }

    /// The key of that secret, also when it is expired or revoked: the caller decides and can say
    /// which.
    pub async fn by_secret_hash(&self, secret_hash: [u8; 32]) -> Result<Option<Key>> {
        let row = self.db.row(BY_HASH.bind(secret_hash)).await?;
        row.as_ref().map(to_key).transpose()
    }

    pub async fn get(&self, id: &KeyId) -> Result<Option<Key>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_key).transpose()
    }

    /// Every key of the org, revoked ones too.
    pub async fn list(&self, org: &OrgId, page: &PageRequest) -> Result<Page<Key>> {
        let (at, id) = page.after();
        let list = LIST.bind(org.as_str()).bind(at).bind(id).bind(page.fetch());
        let rows = self.db.rows(list).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_key)
    }

    /// Revokes for good; repeating it keeps the first time.
    pub async fn revoke(&self, id: &KeyId, at: Time) -> Result<Key> {
        match self.db.change(REVOKE.bind(id.as_str()).bind(at)).await? {
            Some(row) => to_key(&row),
            None => Err(StoreError::not_found(Thing::Key, id.as_str())),
        }
    }

    /// Holds for sandboxes created from now on; those that live already are left alone.
    pub async fn set_quota(&self, id: &KeyId, quota: Quota) -> Result<Key> {
        let set = bind_quota(SET_QUOTA.bind(id.as_str()), quota);
        match self.db.change(set).await? {
            Some(row) => to_key(&row),
            None => Err(StoreError::not_found(Thing::Key, id.as_str())),
        }
    }

    /// Notes that the key was used, at most once a minute; the common case touches no database.
    pub async fn touch(&self, key: &Key, at: Time) -> Result<()> {
        let stale = at - TOUCH_EVERY;
        if key.last_used_at.is_some_and(|last| last > stale) {
            return Ok(());
        }
        let touch = TOUCH.bind(key.id.as_str()).bind(at).bind(stale);
        self.db.execute(touch).await?;
        Ok(())
    }
}

fn to_key(row: &Row) -> Result<Key> {
    Ok(Key {
        id: row.parse("id")?,
        org: row.parse("org_id")?,
        project: row.parse("project_id")?,
        name: row.text("name")?,
        kind: row.parse("kind")?,
        role: row.parse("role")?,
        prefix: row.text("prefix")?,
        suffix: row.text("suffix")?,
        quota: to_quota(row)?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        last_used_at: row.opt_time("last_used_at")?,
        scopes: to_scopes(row)?,
    })
}

fn to_scopes(row: &Row) -> Result<Scopes> {
    let Some(text) = row.opt_text("scopes")? else {
        return Ok(Scopes::All);
    };
    let corrupt = |error: &dyn std::fmt::Display| StoreError::corrupt("scopes", error.to_string());
    let texts: Vec<String> = serde_json::from_str(&text).map_err(|error| corrupt(&error))?;
    Scopes::parse(&texts).map_err(|error| corrupt(&error))
}
