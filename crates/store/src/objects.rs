//! Objects: their records, and which content in the object storage is still referred to.
//!
//! A row names its content by `blob_id`, under a foreign key, so no object can refer to content
//! that was given up. Content is given up only by [`Objects::release`], which locks it first; the
//! bytes go after that, and a crash in between leaves garbage that a sweep finds by its absence
//! here. Equal content is kept once: of two blobs with one digest the first stays.

pub(crate) mod blobs;
pub(crate) mod insert;
pub(crate) mod list;

use std::collections::HashSet;

use pinfold_model::{BlobId, Object, ObjectId, ObjectSource, ObjectState, ProjectId, Time};

use crate::db::{Db, Row, Sql, statements};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Idempotency, IdempotencyKeys, Inserted};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

pub use blobs::Content;
pub use list::{ObjectFilter, ObjectStates};

/// Repository of objects.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, project_id, name, content_type, metadata, state, blob_id, size_bytes, digest, \
         source_sandbox_id, source_path, created_at, sealed_at, deleted_at, expires_at"
    };
}
use columns;

statements! {
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM objects WHERE id = $1"));
    GET_IN_PROJECT = Sql::both(concat!(
        "SELECT ", columns!(), " FROM objects WHERE id = $1 AND project_id = $2"
    ));
    GET_IN_ORG = Sql::both(concat!(
        "SELECT ", columns!(), " FROM objects WHERE id = $1 AND org_id = $2"
    ));
    SEAL = Sql::both(concat!(
        "UPDATE objects SET state = 'sealed', sealed_at = $2 \
         WHERE id = $1 AND state = 'uploading' AND blob_id IS NOT NULL RETURNING ", columns!()
    ));
    DELETE = Sql::both(concat!(
        "UPDATE objects SET state = 'deleted', deleted_at = $2, blob_id = NULL \
         WHERE id = $1 AND state <> 'deleted' RETURNING ", columns!()
    ));
    DELETE_OVERDUE = Sql::both(concat!(
        "UPDATE objects SET state = 'deleted', deleted_at = $2, blob_id = NULL WHERE id = $1 AND \
         (state = 'uploading' OR (state = 'sealed' AND expires_at <= $2)) RETURNING ", columns!()
    ));
    EXPIRED = Sql::both(
        "SELECT id FROM objects WHERE state <> 'deleted' AND expires_at <= $1 \
         ORDER BY expires_at LIMIT $2",
    );
    ABANDONED = Sql::both(
        "SELECT id FROM objects WHERE state = 'uploading' AND created_at <= $1 \
         ORDER BY created_at LIMIT $2",
    );
}

impl<'a> Objects<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new object, in one transaction with the claim of the request's idempotency key,
    /// the check of its project's quota and the record of its content, where it has some.
    ///
    /// Answers the object with the content that it refers to: that of an earlier object where both
    /// are equal, and then the caller's own bytes are garbage.
    ///
    /// # Errors
    /// [`StoreError::QuotaExceeded`], [`StoreError::IdempotencyConflict`],
    /// [`StoreError::NotFound`] for a missing project and [`StoreError::AlreadyExists`] for a known
    /// id. After an error nothing is recorded, also not the claim.
    pub async fn insert(
        &self,
        object: &Object,
        content: Option<&Content>,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Object>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert::insert(&mut tx, object, content, claim).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// Gives an object that is being uploaded its content, in place of what it had; `None` where it
    /// is not being uploaded. Fails with [`StoreError::QuotaExceeded`].
    pub async fn set_content(&self, id: &ObjectId, content: &Content) -> Result<Option<Object>> {
        let mut tx = self.db.begin().await?;
        let set = insert::set_content(&mut tx, id, content).await?;
        tx.commit().await?;
        Ok(set)
    }

    /// Seals an object that has its content; `None` where it has none, or is in another state.
    pub async fn seal(&self, id: &ObjectId, at: Time) -> Result<Option<Object>> {
        let row = self.db.change(SEAL.bind(id.as_str()).bind(at)).await?;
        row.as_ref().map(to_object).transpose()
    }

    /// Deletes an object and its reference to its content; `None` where that has happened before,
    /// or there is no such object.
    pub async fn delete(&self, id: &ObjectId, at: Time) -> Result<Option<Object>> {
        let row = self.db.change(DELETE.bind(id.as_str()).bind(at)).await?;
        row.as_ref().map(to_object).transpose()
    }

    /// The same for one that was listed as overdue, unless it was completed since then and its time
    /// is not over.
    pub async fn delete_overdue(&self, id: &ObjectId, at: Time) -> Result<Option<Object>> {
        let delete = DELETE_OVERDUE.bind(id.as_str()).bind(at);
        let row = self.db.change(delete).await?;
        row.as_ref().map(to_object).transpose()
    }

    pub async fn get(&self, id: &ObjectId) -> Result<Option<Object>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_object).transpose()
    }

    /// The object if it is in that project or org; others do not exist for the caller.
    pub async fn find(&self, scope: &Scope, id: &ObjectId) -> Result<Option<Object>> {
        let query = match scope {
            Scope::Project(project) => GET_IN_PROJECT.bind(id.as_str()).bind(project.as_str()),
            Scope::Org(org) => GET_IN_ORG.bind(id.as_str()).bind(org.as_str()),
        };
        let row = self.db.row(query).await?;
        row.as_ref().map(to_object).transpose()
    }

    /// Newest first.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &ObjectFilter,
        page: &PageRequest,
    ) -> Result<Page<Object>> {
        list::list(self.db, scope, filter, page).await
    }

    /// What an earlier request with this idempotency key made, as it is now.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`] where that was another request.
    pub async fn replay(&self, claim: &Idempotency, now: Time) -> Result<Option<Object>> {
        let Some(id) = IdempotencyKeys::new(self.db).replayed(claim, now).await? else {
            return Ok(None);
        };
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_object).transpose()
    }

    /// How many bytes the project's objects hold, and its bound.
    pub async fn usage(&self, project: &ProjectId) -> Result<(u64, Option<u64>)> {
        insert::usage(self.db, project).await
    }

    /// Objects whose time is over and those whose upload began before `uploads_before`, at most
    /// `limit` of each.
    pub async fn overdue(
        &self,
        now: Time,
        uploads_before: Time,
        limit: u32,
    ) -> Result<Vec<ObjectId>> {
        let mut rows = self.db.rows(EXPIRED.bind(now).bind(limit)).await?;
        let abandoned = ABANDONED.bind(uploads_before).bind(limit);
        rows.extend(self.db.rows(abandoned).await?);
        rows.iter().map(|row| row.parse("id")).collect()
    }

    /// Gives up content that no object refers to; answers whether it did. Its bytes are garbage
    /// from then on.
    pub async fn release(&self, blob: &BlobId) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let released = blobs::release(&mut tx, blob).await?;
        tx.commit().await?;
        Ok(released)
    }

    /// Content that no object refers to, at most `limit` pieces.
    pub async fn unreferenced(&self, limit: u32) -> Result<Vec<BlobId>> {
        blobs::unreferenced(self.db, limit).await
    }

    /// Which of these are content that is recorded; the others are garbage. `blobs` in order.
    pub async fn known(&self, blobs: &[BlobId]) -> Result<HashSet<BlobId>> {
        blobs::known(self.db, blobs).await
    }
}

fn to_object(row: &Row) -> Result<Object> {
    Ok(Object {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        name: row.text("name")?,
        content_type: row.text("content_type")?,
        metadata: row.json("metadata")?,
        state: row.parse::<ObjectState>("state")?,
        content: row.opt_parse("blob_id")?,
        size_bytes: row.opt_number("size_bytes")?,
        digest: row.opt_parse("digest")?,
        source: to_source(row)?,
        created_at: row.time("created_at")?,
        sealed_at: row.opt_time("sealed_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        expires_at: row.opt_time("expires_at")?,
    })
}

fn to_source(row: &Row) -> Result<Option<ObjectSource>> {
    let sandbox = row.opt_parse("source_sandbox_id")?;
    let path = row.opt_text("source_path")?;
    Ok(sandbox.map(|sandbox| ObjectSource { sandbox, path }))
}

fn no_project(project: &ProjectId) -> StoreError {
    StoreError::not_found(Thing::Project, project.as_str())
}
