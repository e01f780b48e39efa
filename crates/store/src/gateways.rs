//! Gateways of both kinds. What one leads to is a document; its kind stands in a column of its own, so
//! that each kind is a list.

use pinfold_model::{Gateway, GatewayId, GatewayKind, ProjectId, Time};

use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::page::{Page, PageRequest};

/// Repository of gateways.
#[derive(Debug, Clone, Copy)]
pub struct Gateways<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, project_id, name, description, spec, version, created_by, created_at, updated_at"
    };
}

statements! {
    // Creations of one project queue up, so each counts what the one before it made.
    LOCK_PROJECT = Sql::split(
        "SELECT id FROM projects WHERE id = $1",
        "SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    COUNT = Sql::both("SELECT COUNT(*) AS gateways FROM gateways WHERE project_id = $1");
    INSERT = Sql::both(concat!(
        "INSERT INTO gateways (", columns!(), ", kind) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    ));
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM gateways WHERE project_id = $1 AND id = $2"
    ));
    NEWEST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM gateways WHERE project_id = $1 AND kind = $2 AND name = $3 \
         ORDER BY created_at DESC, id DESC LIMIT 1"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM gateways \
         WHERE project_id = $1 AND kind = $2 AND (created_at, id) < ($3, $4) \
         ORDER BY created_at DESC, id DESC LIMIT $5"
    ));
    // A gateway stays of its kind.
    CHANGE = Sql::both(concat!(
        "UPDATE gateways SET name = $4, description = $5, spec = $6, \
             version = CAST($3 AS BIGINT) + 1, updated_at = $7 \
         WHERE project_id = $1 AND id = $2 AND version = CAST($3 AS BIGINT) AND kind = $8 \
         RETURNING ", columns!()
    ));
    DELETE = Sql::both("DELETE FROM gateways WHERE project_id = $1 AND id = $2");
}

impl<'a> Gateways<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a gateway, in one transaction with the claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without its project, and for a repeated request whose gateway has been
    /// deleted; [`StoreError::QuotaExceeded`] where the project has `max`;
    /// [`StoreError::IdempotencyConflict`]. After an error nothing is recorded.
    pub async fn insert(
        &self,
        gateway: &Gateway,
        max: u32,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Gateway>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, gateway, max, claim).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// Of either kind.
    pub async fn get(&self, project: &ProjectId, id: &GatewayId) -> Result<Option<Gateway>> {
        let get = GET.bind(project.as_str()).bind(id.as_str());
        let row = self.db.row(get).await?;
        row.as_ref().map(to_gateway).transpose()
    }

    /// The newest one of that name.
    pub async fn newest(
        &self,
        project: &ProjectId,
        kind: GatewayKind,
        name: &str,
    ) -> Result<Option<Gateway>> {
        let newest = NEWEST.bind(project.as_str()).bind(kind.as_str()).bind(name);
        let row = self.db.row(newest).await?;
        row.as_ref().map(to_gateway).transpose()
    }

    /// Newest first.
    pub async fn list(
        &self,
        project: &ProjectId,
        kind: GatewayKind,
        page: &PageRequest,
    ) -> Result<Page<Gateway>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(kind.as_str());
        let rows = self.db.rows(list.bind(at).bind(id).bind(page.fetch()));
        Page::from_rows(page, &rows.await?, ("created_at", "id"), to_gateway)
    }

    /// Replaces what callers choose if its version is still the one given (compare and set): the gateway
    /// after the change, or `None` where it has another version, is of another kind, or is gone.
    pub async fn change(&self, gateway: &Gateway, at: Time) -> Result<Option<Gateway>> {
        let change = CHANGE
            .bind(gateway.project.as_str())
            .bind(gateway.id.as_str())
            .bind(gateway.version)
            .bind(gateway.name.as_str())
            .bind(gateway.description.as_deref())
            .bind(to_json(&gateway.spec))
            .bind(at)
            .bind(gateway.kind().as_str());
        let row = self.db.change(change).await?;
        row.as_ref().map(to_gateway).transpose()
    }

    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, project: &ProjectId, id: &GatewayId) -> Result<()> {
        let delete = DELETE.bind(project.as_str()).bind(id.as_str());
        match self.db.execute(delete).await? {
            0 => Err(StoreError::not_found(Thing::Gateway, id.as_str())),
            _ => Ok(()),
        }
    }
}

async fn insert(
    tx: &mut Tx,
    gateway: &Gateway,
    max: u32,
    claim: Option<&Idempotency>,
) -> Result<Inserted<Gateway>> {
    let project = gateway.project.as_str();
    if let Some(claim) = claim {
        match claim_in(tx, claim, gateway.id.as_str(), gateway.created_at).await? {
            Claim::New => {}
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
            Claim::Replay { resource_id } => {
                let row = tx.row(GET.bind(project).bind(resource_id.as_str())).await?;
                let missing = || StoreError::not_found(Thing::Gateway, resource_id);
                return Ok(Inserted::Replay(to_gateway(&row.ok_or_else(missing)?)?));
            }
        }
    }
    if tx.row(LOCK_PROJECT.bind(project)).await?.is_none() {
        return Err(StoreError::not_found(Thing::Project, project));
    }
    let row = tx.row(COUNT.bind(project)).await?;
    let used: u64 = row.map_or(Ok(0), |row| row.number("gateways"))?;
    if used >= u64::from(max) {
        return Err(StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota: QuotaKind::Gateways,
            limit: max.into(),
            used,
            wanted: 1,
        });
    }
    let insert = INSERT
        .bind(gateway.id.as_str())
        .bind(project)
        .bind(gateway.name.as_str())
        .bind(gateway.description.as_deref())
        .bind(to_json(&gateway.spec))
        .bind(gateway.version)
        .bind(gateway.created_by.as_ref().map(|key| key.as_str()))
        .bind(gateway.created_at)
        .bind(gateway.updated_at)
        .bind(gateway.kind().as_str());
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Gateway, gateway.id.as_str()))?;
    Ok(Inserted::New(gateway.clone()))
}

fn to_gateway(row: &Row) -> Result<Gateway> {
    Ok(Gateway {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        name: row.text("name")?,
        description: row.opt_text("description")?,
        spec: row.json("spec")?,
        version: row.number("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        created_by: row.opt_parse("created_by")?,
    })
}
