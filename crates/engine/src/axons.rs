//! Use cases of axons: streams of events, each with a database of its own for its callers' SQL.
//!
//! ```text
//! publish --> store (the next number, in the axon's row) --> Board --> readers of that axon look again
//! query, batch --> the axon's turn, a turn of few --> pinfold-sql --> DIR/axn_....db
//! delete --> the row says so --> its database, its events
//! ```
//! A reader asks the store for what comes behind the last event it has handed out: it holds a few events and
//! no queue, so one that is slow costs nobody anything and misses nothing.
//!
//! What a crash leaves behind a row that says "deleted" is swept: at the start, and again and again.

mod databases;
mod events;
mod sql;

use std::collections::BTreeMap;

use pinfold_model::{Axon, AxonId, Code, Ctx, Error, ProjectId, Result, limits};
use pinfold_store::{Inserted, Page, PageRequest};
use serde::Serialize;

use crate::engine::Shared;
use crate::turns::Turns;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

pub use databases::Databases;
pub(crate) use events::Board;
pub use events::{AxonEventPage, AxonReader};
pub use sql::SqlBatch;

/// Requests with SQL at once, and of these one project's.
const SQL_AT_ONCE: usize = 4;
const SQL_OF_PROJECT: usize = 2;
/// As many axons as there may be: each has one turn.
const AXONS_AT_ONCE: usize = 1 << 20;

/// What all use cases of axons share.
pub(crate) struct Axons {
    board: Board,
    /// Whose turn it is at an axon's database.
    databases: Turns<AxonId>,
    projects: Turns<ProjectId>,
}

impl Default for Axons {
    fn default() -> Self {
        Self {
            board: Board::default(),
            databases: Turns::new(AXONS_AT_ONCE, 1),
            projects: Turns::new(SQL_AT_ONCE, SQL_OF_PROJECT),
        }
    }
}

/// An axon to make.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateAxon {
    pub name: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl Engine {
    /// Makes an axon of the caller's project. The same idempotency key with the same request answers with
    /// the same axon; with another request it is a conflict.
    pub async fn create_axon(
        &self,
        ctx: &Ctx,
        request: CreateAxon,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Axon>> {
        let note = Note::new("axon.create");
        self.audited(ctx, &note, async {
            let claim = self.claim(ctx, "axon.create", idempotency, &request)?;
            let axon = Axon {
                id: AxonId::generate(),
                project: ctx.principal.project.clone(),
                name: request.name,
                metadata: request.metadata,
                last_sequence: 0,
                created_at: self.now(),
                deleted_at: None,
                created_by: ctx.principal.key.clone(),
            };
            axon.validate()?;
            let axons = self.store().axons();
            let inserted = axons.insert(&axon, limits::AXONS_MAX, claim.as_ref());
            let (value, origin) = match inserted.await? {
                Inserted::New(axon) => (axon, Origin::New),
                Inserted::Replay(axon) => (axon, Origin::Replay),
            };
            note.about(value.id.as_str());
            note.fact("replay", origin == Origin::Replay);
            Ok(Accepted { value, origin })
        })
        .await
    }

    /// One that is deleted as well, for a while.
    pub async fn get_axon(&self, ctx: &Ctx, id: &AxonId) -> Result<Axon> {
        let found = axon(self.shared(), &ctx.principal.project, id);
        self.timed(ctx, "axon.get", found).await
    }

    /// Newest first, of the caller's project, those included that are deleted.
    pub async fn list_axons(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Axon>> {
        self.timed(ctx, "axon.list", async {
            let project = &ctx.principal.project;
            Ok(self.store().axons().list(project, page).await?)
        })
        .await
    }

    /// How many a list has.
    pub async fn count_axons(&self, ctx: &Ctx) -> Result<u64> {
        self.timed(ctx, "axon.list", async {
            Ok(self.store().axons().count(&ctx.principal.project).await?)
        })
        .await
    }

    /// Replaces the metadata; `None` leaves it.
    ///
    /// # Errors
    /// `axon_deleted`.
    pub async fn describe_axon(
        &self,
        ctx: &Ctx,
        id: &AxonId,
        metadata: Option<BTreeMap<String, String>>,
    ) -> Result<Axon> {
        let note = Note::new("axon.change");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let mut axon = live(self.shared(), &ctx.principal.project, id).await?;
            let Some(metadata) = metadata else {
                return Ok(axon);
            };
            axon.metadata = metadata;
            axon.validate()?;
            Ok(self.store().axons().describe(&axon).await?)
        })
        .await
    }

    /// Deletes an axon's events and its database. Those who follow it see its end.
    ///
    /// # Errors
    /// `axon_deleted` where it has been already.
    pub async fn delete_axon(&self, ctx: &Ctx, id: &AxonId) -> Result<()> {
        let (engine, ctx, id) = (self.clone(), ctx.clone(), id.clone());
        // To its end, and onto the trail, even if the caller goes away.
        self.detached(async move {
            let note = Note::new("axon.delete");
            note.about(id.as_str());
            let deleted = delete(engine.shared(), &ctx, &id);
            engine.audited(&ctx, &note, deleted).await
        })
        .await
    }
}

async fn delete(shared: &Shared, ctx: &Ctx, id: &AxonId) -> Result<()> {
    let (project, now) = (&ctx.principal.project, shared.clock.now());
    let deleted = shared.store.axons().delete(project, id, now).await?;
    shared.axons.board.tell(id);
    // From here on it is deleted, and what follows is made good where it fails.
    if let Err(error) = clear(shared, &deleted).await {
        tracing::error!(axon = %id, %error, "a deleted axon has left something");
    }
    Ok(())
}

/// Takes away what a deleted axon has had. Can be repeated.
async fn clear(shared: &Shared, deleted: &Axon) -> Result<()> {
    sql::remove(shared, &deleted.id).await?;
    let axons = shared.store.axons();
    axons.empty(deleted).await?;
    let kept = limits::AXONS_DELETED_KEPT;
    axons.forget(&deleted.project, kept).await?;
    Ok(())
}

/// Takes away what crashes have left of deleted axons.
pub(crate) async fn sweep(shared: &Shared) -> Result<()> {
    for deleted in shared.store.axons().left().await? {
        clear(shared, &deleted).await?;
    }
    for id in shared.databases.known().map_err(Error::internal)? {
        if !shared.store.axons().is_live(&id).await? {
            sql::remove(shared, &id).await?;
        }
    }
    Ok(())
}

async fn axon(shared: &Shared, project: &ProjectId, id: &AxonId) -> Result<Axon> {
    let found = shared.store.axons().get(project, id).await?;
    found.ok_or_else(|| {
        let text = format!("no axon {id} in this project");
        Error::new(Code::AxonNotFound, text)
    })
}

/// The same, and it is not deleted.
async fn live(shared: &Shared, project: &ProjectId, id: &AxonId) -> Result<Axon> {
    let axon = axon(shared, project, id).await?;
    match axon.deleted_at {
        None => Ok(axon),
        Some(_) => Err(Error::new(
            Code::AxonDeleted,
            format!("the axon {id} is deleted"),
        )),
    }
}
