//! Builds of images: what was asked for, and what has become of each step.
//!
//! A build's owner task is the only one that saves it; a cancel is a column of its own, so that
//! neither overwrites the other. The image of a build and its completion are one transaction.

use pinfold_model::build::{BuildSpec, BuildState};
use pinfold_model::{Build, BuildId, Image, ProjectId, Time, limits};

use crate::db::{Db, Query, Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::images;
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Repository of builds.
#[derive(Debug, Clone, Copy)]
pub struct Builds<'a> {
    db: &'a Db,
}

/// Which builds to list; `None` is every.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildFilter {
    pub state: Option<BuildState>,
    /// The name that was asked for, without its tag.
    pub name: Option<String>,
}

/// How much of builds a project may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildBounds {
    /// Builds that have not ended.
    pub unended: u64,
    /// Images that builds made and are about to make.
    pub images: u64,
}

impl Default for BuildBounds {
    fn default() -> Self {
        Self {
            unended: limits::BUILDS_UNENDED_MAX,
            images: limits::BUILT_IMAGES_MAX,
        }
    }
}

macro_rules! select {
    () => {
        "SELECT id, org_id, project_id, spec, state, steps, warnings, sandboxes, image_id, failure, \
             cancel, created_at, started_at, ended_at \
         FROM builds "
    };
}

macro_rules! listed {
    () => {
        " AND (created_at, id) < ($2, $3) AND state IN ($5, $6, $7, $8) \
          AND (CAST($9 AS TEXT) = '' OR name = $9) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    };
}

statements! {
    INSERT = Sql::both(
        "INSERT INTO builds (id, org_id, project_id, name, spec, state, steps, warnings, sandboxes, \
             cancel, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)",
    );
    // The lock makes those who build for one project queue up, so each counts the one before it.
    LOCK_PROJECT = Sql::split(
        "SELECT id FROM projects WHERE id = $1",
        "SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    UNENDED = Sql::both(
        "SELECT COUNT(*) AS number FROM builds WHERE project_id = $1 AND ended_at IS NULL",
    );
    // `source` is the JSON of an enum whose variant this is.
    IMAGES = Sql::both(
        "SELECT COUNT(*) AS number FROM images \
         WHERE scope = $1 AND deleted_at IS NULL AND withdrawn_at IS NULL \
             AND step_key IS NULL AND source LIKE '{\"build\":%'",
    );
    GET = Sql::both(concat!(select!(), "WHERE id = $1"));
    IN_PROJECT = Sql::both(concat!(select!(), "WHERE project_id = $1", listed!()));
    IN_ORG = Sql::both(concat!(select!(), "WHERE org_id = $1", listed!()));
    UNFINISHED = Sql::both(concat!(select!(), "WHERE ended_at IS NULL ORDER BY created_at, id"));
    // An ending never changes.
    SAVE = Sql::both(
        "UPDATE builds \
         SET state = $2, steps = $3, warnings = $4, sandboxes = $5, image_id = $6, failure = $7, \
             started_at = $8, ended_at = $9 \
         WHERE id = $1 AND ended_at IS NULL RETURNING cancel",
    );
    CANCEL = Sql::both("UPDATE builds SET cancel = 1 WHERE id = $1 AND ended_at IS NULL");
    DELETE = Sql::both("DELETE FROM builds WHERE id = $1 AND ended_at IS NOT NULL");
    PURGE = Sql::both(
        "DELETE FROM builds WHERE ended_at < $1 AND NOT EXISTS \
             (SELECT 1 FROM images WHERE images.id = builds.image_id AND images.deleted_at IS NULL)",
    );
}

impl<'a> Builds<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a queued build; with a claim, exactly once.
    ///
    /// # Errors
    /// [`StoreError::QuotaExceeded`], [`StoreError::IdempotencyConflict`]. After an error nothing is
    /// recorded.
    pub async fn insert(
        &self,
        build: &Build,
        claim: Option<&Idempotency>,
        bounds: BuildBounds,
    ) -> Result<Inserted<Build>> {
        let mut tx = self.db.begin().await?;
        if let Some(claim) = claim {
            match claim_in(&mut tx, claim, build.id.as_str(), build.created_at).await? {
                Claim::New => {}
                Claim::Conflict => return Err(StoreError::IdempotencyConflict),
                Claim::Replay { resource_id } => {
                    let row = tx.row(GET.bind(resource_id.as_str())).await?;
                    let row =
                        row.ok_or_else(|| StoreError::not_found(Thing::Build, resource_id))?;
                    return Ok(Inserted::Replay(to_build(&row)?));
                }
            }
        }
        admit(&mut tx, &build.project, bounds).await?;
        let inserted = tx.execute(bind_new(build)).await;
        inserted.map_err(|e| e.on_missing(Thing::Project, build.project.as_str()))?;
        tx.commit().await?;
        Ok(Inserted::New(build.clone()))
    }

    pub async fn get(&self, id: &BuildId) -> Result<Option<Build>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_build).transpose()
    }

    /// Newest first.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &BuildFilter,
        page: &PageRequest,
    ) -> Result<Page<Build>> {
        let list = match scope {
            Scope::Project(project) => IN_PROJECT.bind(project.as_str()),
            Scope::Org(org) => IN_ORG.bind(org.as_str()),
        };
        let (at, id) = page.after();
        let list = list.bind(at).bind(id).bind(page.fetch());
        // One state stands in every place.
        let states = filter
            .state
            .map_or(BuildState::ALL, |only| [only; BuildState::ALL.len()]);
        let list = states
            .into_iter()
            .fold(list, |list, state| list.bind(state.as_str()));
        let rows = self
            .db
            .rows(list.bind(filter.name.as_deref().unwrap_or_default()))
            .await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_build)
    }

    /// Every build that has not ended, oldest first.
    pub async fn list_unfinished(&self) -> Result<Vec<Build>> {
        let rows = self.db.rows(UNFINISHED.query()).await?;
        rows.iter().map(to_build).collect()
    }

    /// Stores what has become of the build; changes nothing of one that has ended. Answers whether a
    /// cancel of it was asked for.
    pub async fn save(&self, build: &Build) -> Result<bool> {
        let row = self.db.change(bind_save(build)).await?;
        row.map_or(Ok(false), |row| Ok(row.int("cancel")? != 0))
    }

    /// Records the image and the build that ends with it together.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the copy of a disk that the image begins with is no image's.
    pub async fn complete(&self, build: &Build, image: &Image) -> Result<()> {
        let mut tx = self.db.begin().await?;
        images::insert_in(&mut tx, image, None).await?;
        save_in(&mut tx, build).await?;
        tx.commit().await
    }

    /// Notes that a cancel was asked for; changes nothing of a build that has ended.
    pub async fn request_cancel(&self, id: &BuildId) -> Result<()> {
        self.db.execute(CANCEL.bind(id.as_str())).await.map(drop)
    }

    /// Forgets a build that has ended; answers whether there was one.
    pub async fn delete(&self, id: &BuildId) -> Result<bool> {
        Ok(self.db.execute(DELETE.bind(id.as_str())).await? > 0)
    }

    /// Forgets builds that ended before `before` and whose image, if they made one, is gone; answers
    /// how many.
    pub async fn purge(&self, before: Time) -> Result<u64> {
        self.db.execute_slowly(PURGE.bind(before)).await
    }
}

/// Whether the project may have one more.
async fn admit(tx: &mut Tx, project: &ProjectId, bounds: BuildBounds) -> Result<()> {
    tx.row(LOCK_PROJECT.bind(project.as_str())).await?;
    let mut count = async |sql: &Sql| {
        let row = tx.row(sql.bind(project.as_str())).await?;
        row.map_or(Ok(0), |row| row.number("number"))
    };
    let (unended, images) = (count(&UNENDED).await?, count(&IMAGES).await?);
    let held = [
        (QuotaKind::UnendedBuilds, bounds.unended, unended),
        // Each of those on their way may become one.
        (QuotaKind::BuiltImages, bounds.images, images + unended),
    ];
    match held.into_iter().find(|(_, limit, used)| used >= limit) {
        None => Ok(()),
        Some((quota, limit, used)) => Err(StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota,
            limit,
            used,
            wanted: 1,
        }),
    }
}

async fn save_in(tx: &mut Tx, build: &Build) -> Result<()> {
    match tx.row(bind_save(build)).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::not_found(Thing::Build, build.id.as_str())),
    }
}

fn bind_new(build: &Build) -> Query {
    INSERT
        .bind(build.id.as_str())
        .bind(build.org.as_str())
        .bind(build.project.as_str())
        .bind(build.spec.name.name())
        .bind(to_json(&build.spec))
        .bind(build.state.as_str())
        .bind(to_json(&build.steps))
        .bind(to_json(&build.warnings))
        .bind(to_json(&build.sandboxes))
        .bind(build.created_at)
}

fn bind_save(build: &Build) -> Query {
    SAVE.bind(build.id.as_str())
        .bind(build.state.as_str())
        .bind(to_json(&build.steps))
        .bind(to_json(&build.warnings))
        .bind(to_json(&build.sandboxes))
        .bind(build.image.as_ref().map(|id| id.as_str()))
        .bind(build.failure.as_ref().map(to_json))
        .bind(build.started_at)
        .bind(build.ended_at)
}

fn to_build(row: &Row) -> Result<Build> {
    let failure = row.opt_text("failure")?;
    let failure = failure.map(|text| serde_json::from_str(&text)).transpose();
    let image = row.opt_text("image_id")?.map(|id| id.parse()).transpose();
    Ok(Build {
        id: row.parse("id")?,
        org: row.parse("org_id")?,
        project: row.parse("project_id")?,
        spec: row.json::<BuildSpec>("spec")?,
        state: row.parse("state")?,
        steps: row.json("steps")?,
        warnings: row.json("warnings")?,
        sandboxes: row.json("sandboxes")?,
        image: image.map_err(|e| StoreError::corrupt("image_id", e))?,
        failure: failure.map_err(|e| StoreError::corrupt("failure", e))?,
        cancel: row.int("cancel")? != 0,
        created_at: row.time("created_at")?,
        started_at: row.opt_time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
    })
}
