//! Axons: streams of events.
//!
//! A publisher takes the next number in the axon's own row and holds that row until its event is recorded, so
//! numbers begin at 1, none is given twice or left out, and whoever reads number n finds all before it.
//!
//! What the axons of a project hold together is counted in a row of its own, with each change of it.

mod events;

use pinfold_model::{Axon, AxonId, ProjectId, Time};

use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::page::{Page, PageRequest};

pub(crate) use events::ALL as EVENTS;
pub use events::EventBounds;

/// Rows that one call takes away, so that it holds up nobody else for long.
const AT_ONCE: u64 = 1000;

/// Repository of axons and their events.
#[derive(Debug, Clone, Copy)]
pub struct Axons<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, project_id, name, metadata, last_sequence, created_by, created_at, deleted_at"
    };
}

statements! {
    // Creations of one project queue up, so each counts what the one before it made.
    LOCK_PROJECT = Sql::split(
        "SELECT id FROM projects WHERE id = $1",
        "SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    COUNT_LIVE = Sql::both(
        "SELECT COUNT(*) AS axons FROM axons WHERE project_id = $1 AND deleted_at IS NULL",
    );
    COUNT = Sql::both("SELECT COUNT(*) AS axons FROM axons WHERE project_id = $1");
    INSERT = Sql::both(
        "INSERT INTO axons (id, project_id, name, metadata, last_sequence, event_bytes, \
             created_by, created_at) \
         VALUES ($1, $2, $3, $4, 0, 0, $5, $6)",
    );
    COUNT_FROM_NOW = Sql::both(
        "INSERT INTO axon_usage (project_id, event_bytes) VALUES ($1, 0) \
         ON CONFLICT (project_id) DO NOTHING",
    );
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axons WHERE project_id = $1 AND id = $2"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axons \
         WHERE project_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    DESCRIBE = Sql::both(concat!(
        "UPDATE axons SET metadata = $3 \
         WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ", columns!()
    ));
    DELETE = Sql::both(concat!(
        "UPDATE axons SET deleted_at = CAST($3 AS BIGINT) \
         WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL \
         RETURNING event_bytes, ", columns!()
    ));
    GIVE_ROOM = Sql::both(
        "UPDATE axon_usage SET event_bytes = event_bytes - CAST($2 AS BIGINT) WHERE project_id = $1",
    );
    EMPTY = Sql::both("DELETE FROM axon_events WHERE axon_id = $1 AND sequence <= $2");
    LEFT = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axons \
         WHERE deleted_at IS NOT NULL \
             AND EXISTS (SELECT 1 FROM axon_events WHERE axon_id = axons.id) LIMIT 100"
    ));
    FORGET = Sql::both(
        "DELETE FROM axons WHERE id IN ( \
             SELECT id FROM axons WHERE project_id = $1 AND deleted_at IS NOT NULL \
             ORDER BY deleted_at DESC, id DESC LIMIT 1000 OFFSET $2) \
         AND NOT EXISTS (SELECT 1 FROM axon_events WHERE axon_id = axons.id)",
    );
    LIVE_OF_PROJECT = Sql::both(
        "SELECT id FROM axons WHERE project_id = $1 AND deleted_at IS NULL ORDER BY id",
    );
    LIVE = Sql::both("SELECT id FROM axons WHERE id = $1 AND deleted_at IS NULL");
}

impl<'a> Axons<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records an axon, in one transaction with the claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without its project, and for a repeated request whose axon is forgotten;
    /// [`StoreError::QuotaExceeded`] where the project has `max`; [`StoreError::IdempotencyConflict`]. After
    /// an error nothing is recorded.
    pub async fn insert(
        &self,
        axon: &Axon,
        max: u32,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Axon>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, axon, max, claim).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// One that is deleted as well, until it is forgotten.
    pub async fn get(&self, project: &ProjectId, id: &AxonId) -> Result<Option<Axon>> {
        let get = GET.bind(project.as_str()).bind(id.as_str());
        let row = self.db.row(get).await?;
        row.as_ref().map(to_axon).transpose()
    }

    /// Newest first, those included that are deleted.
    pub async fn list(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Axon>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_axon)
    }

    /// How many a list of the project has.
    pub async fn count(&self, project: &ProjectId) -> Result<u64> {
        let row = self.db.row(COUNT.bind(project.as_str())).await?;
        row.map_or(Ok(0), |row| row.number("axons"))
    }

    /// The ids of those that are not deleted, as many as a project may have.
    pub async fn live_of(&self, project: &ProjectId) -> Result<Vec<AxonId>> {
        let rows = self.db.rows(LIVE_OF_PROJECT.bind(project.as_str())).await?;
        rows.iter().map(|row| row.parse("id")).collect()
    }

    /// Replaces its metadata.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::AxonDeleted`].
    pub async fn describe(&self, axon: &Axon) -> Result<Axon> {
        let describe = DESCRIBE
            .bind(axon.project.as_str())
            .bind(axon.id.as_str())
            .bind(to_json(&axon.metadata));
        match self.db.change(describe).await? {
            Some(row) => to_axon(&row),
            None => Err(self.missing(&axon.project, &axon.id).await?),
        }
    }

    /// Marks it as deleted: nothing is published to it any more, and its events are not read. They go with
    /// [`Axons::empty`]. Answers what it was, with the number of its last event for good.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::AxonDeleted`].
    pub async fn delete(&self, project: &ProjectId, id: &AxonId, now: Time) -> Result<Axon> {
        let delete = DELETE.bind(project.as_str()).bind(id.as_str()).bind(now);
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.row(delete).await? else {
            drop(tx);
            return Err(self.missing(project, id).await?);
        };
        let held: u64 = row.number("event_bytes")?;
        let room = GIVE_ROOM.bind(project.as_str()).bind(held);
        tx.execute(room).await?;
        tx.commit().await?;
        to_axon(&row)
    }

    /// Takes the events of an axon that is deleted, a part at a time.
    pub async fn empty(&self, deleted: &Axon) -> Result<()> {
        let mut up_to = 0;
        while up_to < deleted.last_sequence {
            up_to = deleted.last_sequence.min(up_to + AT_ONCE);
            let empty = EMPTY.bind(deleted.id.as_str()).bind(up_to);
            self.db.execute_slowly(empty).await?;
        }
        Ok(())
    }

    /// Some of those that are deleted and have events, which a crash has left.
    pub async fn left(&self) -> Result<Vec<Axon>> {
        let rows = self.db.rows(LEFT.query()).await?;
        rows.iter().map(to_axon).collect()
    }

    /// Forgets those of a project that were deleted before the last `kept`; answers how many that were.
    pub async fn forget(&self, project: &ProjectId, kept: u32) -> Result<u64> {
        let forget = FORGET.bind(project.as_str()).bind(i64::from(kept));
        self.db.execute_slowly(forget).await
    }

    /// Whether there is one of that id, of whatever project, that is not deleted.
    pub async fn is_live(&self, id: &AxonId) -> Result<bool> {
        Ok(self.db.row(LIVE.bind(id.as_str())).await?.is_some())
    }

    /// Why an axon was not changed: there is none, or it is deleted.
    async fn missing(&self, project: &ProjectId, id: &AxonId) -> Result<StoreError> {
        Ok(match self.get(project, id).await? {
            Some(_) => StoreError::AxonDeleted { id: id.to_string() },
            None => StoreError::not_found(Thing::Axon, id.as_str()),
        })
    }
}

async fn insert(
    tx: &mut Tx,
    axon: &Axon,
    max: u32,
    claim: Option<&Idempotency>,
) -> Result<Inserted<Axon>> {
    let project = axon.project.as_str();
    if let Some(claim) = claim {
        match claim_in(tx, claim, axon.id.as_str(), axon.created_at).await? {
            Claim::New => {}
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
            Claim::Replay { resource_id } => {
                let row = tx.row(GET.bind(project).bind(resource_id.as_str())).await?;
                let missing = || StoreError::not_found(Thing::Axon, resource_id);
                return Ok(Inserted::Replay(to_axon(&row.ok_or_else(missing)?)?));
            }
        }
    }
    if tx.row(LOCK_PROJECT.bind(project)).await?.is_none() {
        return Err(StoreError::not_found(Thing::Project, project));
    }
    let row = tx.row(COUNT_LIVE.bind(project)).await?;
    let used: u64 = row.map_or(Ok(0), |row| row.number("axons"))?;
    if used >= u64::from(max) {
        return Err(StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota: QuotaKind::Axons,
            limit: max.into(),
            used,
            wanted: 1,
        });
    }
    let insert = INSERT
        .bind(axon.id.as_str())
        .bind(project)
        .bind(axon.name.as_deref())
        .bind(to_json(&axon.metadata))
        .bind(axon.created_by.as_ref().map(|key| key.as_str()))
        .bind(axon.created_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Axon, axon.id.as_str()))?;
    tx.execute(COUNT_FROM_NOW.bind(project)).await?;
    Ok(Inserted::New(axon.clone()))
}

fn to_axon(row: &Row) -> Result<Axon> {
    Ok(Axon {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        name: row.opt_text("name")?,
        metadata: row.json("metadata")?,
        last_sequence: row.number("last_sequence")?,
        created_at: row.time("created_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        created_by: row.opt_parse("created_by")?,
    })
}
