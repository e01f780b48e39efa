//! Previews and the links that open them once. No preview's row is ever deleted, so those of an ended
//! sandbox stay readable.

use pinfold_model::{KeyId, Preview, PreviewId, SandboxId, Slug, Time};

use crate::db::{Db, Row, Sql, Tx, statements};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::Inserted;
use crate::page::{Page, PageRequest};

/// Repository of previews.
#[derive(Debug, Clone, Copy)]
pub struct Previews<'a> {
    db: &'a Db,
}

/// A preview with what opens it beside keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPreview {
    pub preview: Preview,
    pub token_hash: Option<[u8; 32]>,
}

/// Which previews of a sandbox a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PreviewFilter {
    /// Every preview there ever was.
    #[default]
    All,
    /// Those whose addresses work at that time.
    ActiveAt(Time),
}

/// A link that opens a preview once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewLink {
    pub secret_hash: [u8; 32],
    pub preview: PreviewId,
    /// Whose link it is; `None`: the process itself.
    pub key: Option<KeyId>,
    pub expires_at: Time,
}

macro_rules! select {
    () => {
        "SELECT p.id, p.slug, p.sandbox_id, p.project_id, p.port, p.access, p.token_hash, \
             p.created_at, p.expires_at, p.revoked_at, s.ended_at AS sandbox_ended_at \
         FROM previews p JOIN sandboxes s ON s.id = p.sandbox_id "
    };
}

statements! {
    // The lock makes creations of one sandbox queue up, so each sees what the one before it added,
    // and none is recorded behind the end of the sandbox.
    LOCK_SANDBOX = Sql::split(
        "SELECT live FROM sandboxes WHERE id = $1",
        "SELECT live FROM sandboxes WHERE id = $1 FOR NO KEY UPDATE",
    );
    RETIRE_EXPIRED = Sql::both(
        "UPDATE previews SET active = 0 WHERE sandbox_id = $1 AND active = 1 AND expires_at <= $2",
    );
    HOLDER = Sql::both(concat!(
        select!(), "WHERE p.sandbox_id = $1 AND p.port = $2 AND p.active = 1"
    ));
    COUNT = Sql::both(
        "SELECT COUNT(*) AS active FROM previews WHERE sandbox_id = $1 AND active = 1",
    );
    INSERT = Sql::both(
        "INSERT INTO previews (id, slug, sandbox_id, project_id, port, access, token_hash, active, \
             created_at, expires_at, revoked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, NULL)",
    );
    GET = Sql::both(concat!(select!(), "WHERE p.id = $1"));
    BY_SLUG = Sql::both(concat!(select!(), "WHERE p.slug = $1"));
    // $5: 1 for those that are active at $6.
    LIST = Sql::both(concat!(
        select!(),
        "WHERE p.sandbox_id = $1 AND (p.created_at, p.id) < ($2, $3) \
         AND (CAST($5 AS BIGINT) = 0 OR (p.revoked_at IS NULL AND s.live = 1 \
             AND (p.expires_at IS NULL OR p.expires_at > $6))) \
         ORDER BY p.created_at DESC, p.id DESC LIMIT $4"
    ));
    REVOKE = Sql::both(
        "UPDATE previews SET active = 0, revoked_at = COALESCE(revoked_at, $2) WHERE id = $1",
    );
    INSERT_LINK = Sql::both(
        "INSERT INTO preview_links (secret_hash, preview_id, key_id, expires_at) \
         VALUES ($1, $2, $3, $4)",
    );
    TAKE_LINK = Sql::both(
        "DELETE FROM preview_links WHERE secret_hash = $1 AND preview_id = $2 \
         RETURNING secret_hash, preview_id, key_id, expires_at",
    );
    PURGE_LINKS = Sql::both("DELETE FROM preview_links WHERE expires_at <= $1");
}

impl<'a> Previews<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new preview, or answers with the active one that its sandbox has for this port.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that has ended or never was;
    /// [`StoreError::QuotaExceeded`] where the sandbox has `max_active` others. After an error
    /// nothing is recorded.
    pub async fn insert(
        &self,
        kept: &KeptPreview,
        max_active: u32,
    ) -> Result<Inserted<KeptPreview>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, kept, max_active).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    pub async fn get(&self, id: &PreviewId) -> Result<Option<Preview>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_preview).transpose()
    }

    /// Also one whose address leads nowhere any more.
    pub async fn by_slug(&self, slug: &Slug) -> Result<Option<KeptPreview>> {
        let row = self.db.row(BY_SLUG.bind(slug.as_str())).await?;
        row.as_ref().map(to_kept).transpose()
    }

    /// Of one sandbox, newest first.
    pub async fn list(
        &self,
        sandbox: &SandboxId,
        filter: PreviewFilter,
        page: &PageRequest,
    ) -> Result<Page<Preview>> {
        let (at, id) = page.after();
        let (only_active, now) = match filter {
            PreviewFilter::All => (0i64, Time::UNIX_EPOCH),
            PreviewFilter::ActiveAt(now) => (1, now),
        };
        let list = LIST
            .bind(sandbox.as_str())
            .bind(at)
            .bind(id)
            .bind(page.fetch())
            .bind(only_active)
            .bind(now);
        let rows = self.db.rows(list).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_preview)
    }

    /// Ends it for good; repeating it keeps the first time.
    pub async fn revoke(&self, id: &PreviewId, at: Time) -> Result<Preview> {
        self.db.execute(REVOKE.bind(id.as_str()).bind(at)).await?;
        let found = self.get(id).await?;
        found.ok_or_else(|| StoreError::not_found(Thing::Preview, id.as_str()))
    }

    pub async fn insert_link(&self, link: &PreviewLink) -> Result<()> {
        let insert = INSERT_LINK
            .bind(link.secret_hash)
            .bind(link.preview.as_str())
            .bind(link.key.as_ref().map(KeyId::as_str))
            .bind(link.expires_at);
        self.db.execute(insert).await?;
        Ok(())
    }

    /// Takes a link out: of callers that race, one gets it. It may have expired.
    pub async fn take_link(
        &self,
        secret_hash: [u8; 32],
        preview: &PreviewId,
    ) -> Result<Option<PreviewLink>> {
        let take = TAKE_LINK.bind(secret_hash).bind(preview.as_str());
        let row = self.db.change(take).await?;
        row.as_ref().map(to_link).transpose()
    }

    /// Forgets links that have expired; answers how many.
    pub async fn purge_links(&self, now: Time) -> Result<u64> {
        self.db.execute_slowly(PURGE_LINKS.bind(now)).await
    }
}

async fn insert(tx: &mut Tx, kept: &KeptPreview, max_active: u32) -> Result<Inserted<KeptPreview>> {
    let preview = &kept.preview;
    let sandbox = preview.sandbox.as_str();
    let row = tx.row(LOCK_SANDBOX.bind(sandbox)).await?;
    if !matches!(row.map(|row| row.int("live")).transpose()?, Some(1)) {
        return Err(StoreError::not_found(Thing::Sandbox, sandbox));
    }
    let retire = RETIRE_EXPIRED.bind(sandbox).bind(preview.created_at);
    tx.execute(retire).await?;
    let holder = HOLDER.bind(sandbox).bind(u32::from(preview.port));
    if let Some(row) = tx.row(holder).await? {
        return Ok(Inserted::Replay(to_kept(&row)?));
    }
    let row = tx.row(COUNT.bind(sandbox)).await?;
    let used: u64 = row.map_or(Ok(0), |row| row.number("active"))?;
    if used >= u64::from(max_active) {
        return Err(StoreError::QuotaExceeded {
            of: QuotaOf::Sandbox,
            quota: QuotaKind::ActivePreviews,
            limit: max_active.into(),
            used,
            wanted: 1,
        });
    }
    let insert = INSERT
        .bind(preview.id.as_str())
        .bind(preview.slug.as_str())
        .bind(sandbox)
        .bind(preview.project.as_str())
        .bind(u32::from(preview.port))
        .bind(preview.access.as_str())
        .bind(kept.token_hash)
        .bind(preview.created_at)
        .bind(preview.expires_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Preview, preview.id.as_str()))?;
    Ok(Inserted::New(kept.clone()))
}

fn to_kept(row: &Row) -> Result<KeptPreview> {
    Ok(KeptPreview {
        preview: to_preview(row)?,
        token_hash: row.opt_hash("token_hash")?,
    })
}

fn to_preview(row: &Row) -> Result<Preview> {
    Ok(Preview {
        id: row.parse("id")?,
        slug: row.parse("slug")?,
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        port: row.number("port")?,
        access: row.parse("access")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        sandbox_ended_at: row.opt_time("sandbox_ended_at")?,
    })
}

fn to_link(row: &Row) -> Result<PreviewLink> {
    Ok(PreviewLink {
        secret_hash: row.hash("secret_hash")?,
        preview: row.parse("preview_id")?,
        key: row.opt_parse("key_id")?,
        expires_at: row.time("expires_at")?,
    })
}
