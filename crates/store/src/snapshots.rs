//! Snapshots: what is said about images of sandboxes' disks. No row is ever deleted.

use pinfold_model::{ImageId, SandboxId, Snapshot, Time};

use crate::db::{Db, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, IdempotencyKeys, Inserted, claim_in};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Repository of snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Snapshots<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "image_id, project_id, sandbox_id, name, message, metadata, created_at, deleted_at"
    };
}

// $1 scope, $2 $3 cursor, $4 rows, $5 sandbox; '' stands for any
macro_rules! list {
    ($scope:literal) => {
        Sql::both(concat!(
            "SELECT ",
            columns!(),
            " FROM snapshots WHERE ",
            $scope,
            " = $1 AND (created_at, image_id) < ($2, $3) AND deleted_at IS NULL \
             AND (CAST($5 AS TEXT) = '' OR sandbox_id = $5) \
             ORDER BY created_at DESC, image_id DESC LIMIT $4"
        ))
    };
}

statements! {
    INSERT = Sql::both(concat!(
        "INSERT INTO snapshots (", columns!(), ", org_id) \
         SELECT $1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT), org_id \
         FROM projects WHERE id = $2"
    ));
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM snapshots WHERE image_id = $1"));
    GET_IN_PROJECT = Sql::both(concat!(
        "SELECT ", columns!(), " FROM snapshots WHERE image_id = $1 AND project_id = $2"
    ));
    GET_IN_ORG = Sql::both(concat!(
        "SELECT ", columns!(), " FROM snapshots WHERE image_id = $1 AND org_id = $2"
    ));
    IN_PROJECT = list!("project_id");
    IN_ORG = list!("org_id");
    DESCRIBE = Sql::both(concat!(
        "UPDATE snapshots SET name = $2, message = $3, metadata = $4 WHERE image_id = $1 RETURNING ",
        columns!()
    ));
    DELETE = Sql::both(
        "UPDATE snapshots SET deleted_at = $2 WHERE image_id = $1 AND deleted_at IS NULL",
    );
}

impl<'a> Snapshots<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a snapshot, in one transaction with the claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`], and [`StoreError::NotFound`] without its project.
    pub async fn insert(
        &self,
        snapshot: &Snapshot,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Snapshot>> {
        let mut tx = self.db.begin().await?;
        if let Some(claim) = claim {
            match claim_in(&mut tx, claim, snapshot.image.as_str(), snapshot.created_at).await? {
                Claim::New => {}
                Claim::Conflict => return Err(StoreError::IdempotencyConflict),
                Claim::Replay { resource_id } => {
                    let row = tx.row(GET.bind(resource_id.as_str())).await?;
                    let row =
                        row.ok_or_else(|| StoreError::corrupt("resource_id", "no such snapshot"))?;
                    return Ok(Inserted::Replay(to_snapshot(&row)?));
                }
            }
        }
        let insert = INSERT
            .bind(snapshot.image.as_str())
            .bind(snapshot.project.as_str())
            .bind(snapshot.sandbox.as_str())
            .bind(snapshot.name.as_deref())
            .bind(snapshot.message.as_deref())
            .bind(to_json(&snapshot.metadata))
            .bind(snapshot.created_at)
            .bind(snapshot.deleted_at);
        if tx.execute(insert).await? == 0 {
            let project = snapshot.project.as_str();
            return Err(StoreError::not_found(Thing::Project, project));
        }
        tx.commit().await?;
        Ok(Inserted::New(snapshot.clone()))
    }

    /// What an earlier request with this idempotency key made, as it is now.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`] where that was another request.
    pub async fn replay(&self, claim: &Idempotency, now: Time) -> Result<Option<Snapshot>> {
        match IdempotencyKeys::new(self.db).find(claim, now).await? {
            None | Some(Claim::New) => Ok(None),
            Some(Claim::Conflict) => Err(StoreError::IdempotencyConflict),
            Some(Claim::Replay { resource_id }) => {
                let row = self.db.row(GET.bind(resource_id.as_str())).await?;
                row.as_ref().map(to_snapshot).transpose()
            }
        }
    }

    /// The snapshot if it is in that project or org, also a deleted one.
    pub async fn find(&self, scope: &Scope, image: &ImageId) -> Result<Option<Snapshot>> {
        let query = match scope {
            Scope::Project(project) => GET_IN_PROJECT.bind(image.as_str()).bind(project.as_str()),
            Scope::Org(org) => GET_IN_ORG.bind(image.as_str()).bind(org.as_str()),
        };
        let row = self.db.row(query).await?;
        row.as_ref().map(to_snapshot).transpose()
    }

    /// Newest first, without deleted ones; of one sandbox, or of all.
    pub async fn list(
        &self,
        scope: &Scope,
        sandbox: Option<&SandboxId>,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>> {
        let query = match scope {
            Scope::Project(project) => IN_PROJECT.bind(project.as_str()),
            Scope::Org(org) => IN_ORG.bind(org.as_str()),
        };
        let (at, id) = page.after();
        let query = query.bind(at).bind(id).bind(page.fetch());
        let query = query.bind(sandbox.map_or("", |sandbox| sandbox.as_str()));
        let rows = self.db.rows(query).await?;
        Page::from_rows(page, &rows, ("created_at", "image_id"), to_snapshot)
    }

    /// Replaces name, message and metadata; `None` for one that is not recorded.
    pub async fn describe(&self, snapshot: &Snapshot) -> Result<Option<Snapshot>> {
        let describe = DESCRIBE
            .bind(snapshot.image.as_str())
            .bind(snapshot.name.as_deref())
            .bind(snapshot.message.as_deref())
            .bind(to_json(&snapshot.metadata));
        let row = self.db.change(describe).await?;
        row.as_ref().map(to_snapshot).transpose()
    }

    /// Notes that its image is gone. Repeating it changes nothing.
    pub async fn delete(&self, image: &ImageId, at: Time) -> Result<()> {
        self.db
            .execute(DELETE.bind(image.as_str()).bind(at))
            .await?;
        Ok(())
    }
}

fn to_snapshot(row: &Row) -> Result<Snapshot> {
    Ok(Snapshot {
        image: row.parse("image_id")?,
        project: row.parse("project_id")?,
        sandbox: row.parse("sandbox_id")?,
        name: row.opt_text("name")?,
        message: row.opt_text("message")?,
        metadata: row.json("metadata")?,
        created_at: row.time("created_at")?,
        deleted_at: row.opt_time("deleted_at")?,
    })
}
