//! Recording objects and their content: idempotency, quota, content and row in one transaction.

use pinfold_model::{Object, ObjectId, OrgId, ProjectId};

use super::blobs::{self, Content};
use super::{columns, no_project, to_object};
use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};

statements! {
    // The lock makes writers of one project queue up, so each sees what the one before it added.
    LOCK_PROJECT = Sql::split(
        "SELECT org_id, quota_object_bytes FROM projects WHERE id = $1",
        "SELECT org_id, quota_object_bytes FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    PROJECT = Sql::both("SELECT quota_object_bytes FROM projects WHERE id = $1");
    IN_USE = Sql::both(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM objects \
         WHERE project_id = $1 AND blob_id IS NOT NULL",
    );
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM objects WHERE id = $1"));
    GET_LOCKED = Sql::split(
        concat!("SELECT ", columns!(), " FROM objects WHERE id = $1 AND state = 'uploading'"),
        concat!(
            "SELECT ", columns!(),
            " FROM objects WHERE id = $1 AND state = 'uploading' FOR UPDATE"
        ),
    );
    SET_CONTENT = Sql::both(concat!(
        "UPDATE objects SET blob_id = $2, size_bytes = $3, digest = $4 WHERE id = $1 RETURNING ",
        columns!()
    ));
    INSERT = Sql::both(concat!(
        "INSERT INTO objects (", columns!(), ", org_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    ));
}

pub(super) async fn insert(
    tx: &mut Tx,
    object: &Object,
    content: Option<&Content>,
    claim: Option<&Idempotency>,
) -> Result<Inserted<Object>> {
    if let Some(claim) = claim {
        match claim_in(tx, claim, object.id.as_str(), object.created_at).await? {
            Claim::New => {}
            Claim::Replay { resource_id } => return replay(tx, &resource_id).await,
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
        }
    }
    let project = Locked::of(tx, &object.project).await?;
    let mut object = object.clone();
    if let Some(content) = content {
        project.admit(tx, &object.project, 0, content).await?;
        object.content = Some(blobs::keep(tx, content).await?);
        object.size_bytes = Some(content.size_bytes);
        object.digest = Some(content.digest.clone());
    }
    insert_row(tx, &object, &project.org).await?;
    Ok(Inserted::New(object))
}

async fn replay(tx: &mut Tx, id: &str) -> Result<Inserted<Object>> {
    match tx.row(GET.bind(id)).await? {
        Some(row) => Ok(Inserted::Replay(to_object(&row)?)),
        None => Err(StoreError::corrupt("resource_id", "no such object")),
    }
}

pub(super) async fn set_content(
    tx: &mut Tx,
    id: &ObjectId,
    content: &Content,
) -> Result<Option<Object>> {
    // The project before the object, as inserts do, so that two writers never wait for each other.
    let Some(row) = tx.row(GET.bind(id.as_str())).await? else {
        return Ok(None);
    };
    let project = to_object(&row)?.project;
    let locked = Locked::of(tx, &project).await?;
    let Some(row) = tx.row(GET_LOCKED.bind(id.as_str())).await? else {
        return Ok(None);
    };
    let object = to_object(&row)?;
    let replaced = object.content.and(object.size_bytes).unwrap_or(0);
    locked.admit(tx, &project, replaced, content).await?;
    let blob = blobs::keep(tx, content).await?;
    let set = SET_CONTENT
        .bind(id.as_str())
        .bind(blob.as_str())
        .bind(content.size_bytes)
        .bind(content.digest.as_str());
    tx.row(set).await?.as_ref().map(to_object).transpose()
}

pub(super) async fn usage(db: &Db, project: &ProjectId) -> Result<(u64, Option<u64>)> {
    let Some(row) = db.row(PROJECT.bind(project.as_str())).await? else {
        return Err(no_project(project));
    };
    let limit = row.opt_number("quota_object_bytes")?;
    let used = to_bytes(db.row(IN_USE.bind(project.as_str())).await?)?;
    Ok((used, limit))
}

/// A project that stays as it is until the transaction ends.
struct Locked {
    org: OrgId,
    limit: Option<u64>,
}

impl Locked {
    async fn of(tx: &mut Tx, project: &ProjectId) -> Result<Self> {
        match tx.row(LOCK_PROJECT.bind(project.as_str())).await? {
            Some(row) => Ok(Self {
                org: row.parse("org_id")?,
                limit: row.opt_number("quota_object_bytes")?,
            }),
            None => Err(no_project(project)),
        }
    }

    /// Whether there is room for the content, once `replaced` bytes are gone.
    async fn admit(
        &self,
        tx: &mut Tx,
        project: &ProjectId,
        replaced: u64,
        content: &Content,
    ) -> Result<()> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let used = to_bytes(tx.row(IN_USE.bind(project.as_str())).await?)?;
        let wanted = content.size_bytes;
        if used.saturating_sub(replaced).saturating_add(wanted) <= limit {
            return Ok(());
        }
        Err(StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota: QuotaKind::ObjectBytes,
            limit,
            used,
            wanted,
        })
    }
}

fn to_bytes(row: Option<Row>) -> Result<u64> {
    row.map_or(Ok(0), |row| row.number("bytes"))
}

async fn insert_row(tx: &mut Tx, object: &Object, org: &OrgId) -> Result<()> {
    let source = object.source.as_ref();
    let insert = INSERT
        .bind(object.id.as_str())
        .bind(object.project.as_str())
        .bind(object.name.as_str())
        .bind(object.content_type.as_str())
        .bind(to_json(&object.metadata))
        .bind(object.state.as_str())
        .bind(object.content.as_ref().map(|blob| blob.as_str()))
        .bind(object.size_bytes)
        .bind(object.digest.as_ref().map(|digest| digest.as_str()))
        .bind(source.map(|source| source.sandbox.as_str()))
        .bind(source.and_then(|source| source.path.as_deref()))
        .bind(object.created_at)
        .bind(object.sealed_at)
        .bind(object.deleted_at)
        .bind(object.expires_at)
        .bind(org.as_str());
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Object, object.id.as_str()))?;
    Ok(())
}
