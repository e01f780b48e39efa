//! Runs of pipelines: what was asked for, and what has become of each step.
//!
//! A run's owner task is the only one that saves it; a cancel is a column of its own, so that
//! neither overwrites the other. Numbers come from the database and are never given twice.

use pinfold_model::pipeline::{RunSpec, RunState, StepRun};
use pinfold_model::{OrgId, PipelineRun, ProjectId, RunId, SandboxId, Time};

use crate::db::{Db, Query, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in, forget_in};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Repository of runs of pipelines.
#[derive(Debug, Clone, Copy)]
pub struct PipelineRuns<'a> {
    db: &'a Db,
}

/// A run that has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub org: OrgId,
    pub project: ProjectId,
    pub sandbox: SandboxId,
    pub spec: RunSpec,
    pub created_at: Time,
}

macro_rules! select {
    () => {
        "SELECT id, CAST(id AS TEXT) AS id_text, org_id, project_id, sandbox_id, spec, state, steps, \
             failure, cancel, created_at, started_at, ended_at \
         FROM pipeline_runs "
    };
}

statements! {
    INSERT = Sql::both(
        "INSERT INTO pipeline_runs \
             (org_id, project_id, sandbox_id, spec, state, steps, cancel, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7) RETURNING id",
    );
    GET = Sql::both(concat!(select!(), "WHERE id = $1"));
    // $4..$8 the states that are wanted
    IN_PROJECT = Sql::both(concat!(
        select!(),
        "WHERE project_id = $1 AND id < $2 AND state IN ($4, $5, $6, $7, $8) \
         ORDER BY id DESC LIMIT $3"
    ));
    IN_ORG = Sql::both(concat!(
        select!(),
        "WHERE org_id = $1 AND id < $2 AND state IN ($4, $5, $6, $7, $8) \
         ORDER BY id DESC LIMIT $3"
    ));
    UNFINISHED = Sql::both(concat!(select!(), "WHERE ended_at IS NULL ORDER BY id"));
    // An ending never changes.
    SAVE = Sql::both(
        "UPDATE pipeline_runs \
         SET state = $2, steps = $3, failure = $4, started_at = $5, ended_at = $6 \
         WHERE id = $1 AND ended_at IS NULL RETURNING cancel",
    );
    CANCEL = Sql::both("UPDATE pipeline_runs SET cancel = 1 WHERE id = $1 AND ended_at IS NULL");
    DELETE = Sql::both("DELETE FROM pipeline_runs WHERE id = $1");
    PURGE = Sql::both("DELETE FROM pipeline_runs WHERE ended_at < $1");
}

impl<'a> PipelineRuns<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a queued run and gives it its number; with a claim, exactly once.
    pub async fn insert(
        &self,
        run: &NewRun,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<PipelineRun>> {
        let mut tx = self.db.begin().await?;
        let inserted = tx.row(bind_new(run)).await;
        let row = inserted.map_err(|e| e.on_missing(Thing::Project, run.project.as_str()))?;
        let row = row.ok_or_else(|| StoreError::corrupt("id", "an insert made no row"))?;
        let id = RunId::new(row.number("id")?);
        if let Some(claim) = claim {
            match claim_in(&mut tx, claim, &id.to_string(), run.created_at).await? {
                Claim::New => {}
                Claim::Conflict => return Err(StoreError::IdempotencyConflict),
                Claim::Replay { resource_id } => {
                    // A number may be left out; none is given twice.
                    drop(tx);
                    let known = resource_id
                        .parse()
                        .map_err(|e| StoreError::corrupt("id", e))?;
                    let known = self.get(known).await?;
                    let known =
                        known.ok_or_else(|| StoreError::not_found(Thing::Run, resource_id))?;
                    return Ok(Inserted::Replay(known));
                }
            }
        }
        tx.commit().await?;
        Ok(Inserted::New(queued(id, run)))
    }

    pub async fn get(&self, id: RunId) -> Result<Option<PipelineRun>> {
        let Ok(number) = i64::try_from(id.number()) else {
            return Ok(None);
        };
        let row = self.db.row(GET.bind(number)).await?;
        row.as_ref().map(to_run).transpose()
    }

    /// Newest first; `None` is every state.
    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<RunState>,
        page: &PageRequest,
    ) -> Result<Page<PipelineRun>> {
        let (before, _) = page.after();
        let list = match scope {
            Scope::Project(project) => IN_PROJECT.bind(project.as_str()),
            Scope::Org(org) => IN_ORG.bind(org.as_str()),
        };
        // One state stands in every place.
        let states = state.map_or(RunState::ALL, |only| [only; RunState::ALL.len()]);
        let list = list.bind(before).bind(page.fetch());
        let list = states
            .into_iter()
            .fold(list, |list, state| list.bind(state.as_str()));
        let rows = self.db.rows(list).await?;
        Page::from_rows(page, &rows, ("id", "id_text"), to_run)
    }

    /// Every run that has not ended, oldest first.
    pub async fn list_unfinished(&self) -> Result<Vec<PipelineRun>> {
        let rows = self.db.rows(UNFINISHED.query()).await?;
        rows.iter().map(to_run).collect()
    }

    /// Stores what has become of the run; changes nothing of one that has ended. Answers whether a
    /// cancel of it was asked for.
    pub async fn save(&self, run: &PipelineRun) -> Result<bool> {
        let save = SAVE
            .bind(run.id.number())
            .bind(run.state.as_str())
            .bind(to_json(&run.steps))
            .bind(run.failure.as_ref().map(to_json))
            .bind(run.started_at)
            .bind(run.ended_at);
        let row = self.db.change(save).await?;
        row.map_or(Ok(false), |row| Ok(row.int("cancel")? != 0))
    }

    /// Notes that a cancel was asked for; changes nothing of a run that has ended.
    pub async fn request_cancel(&self, id: RunId) -> Result<()> {
        self.db.execute(CANCEL.bind(id.number())).await.map(drop)
    }

    /// Takes back a run that could not begin, and the key of its request with it.
    pub async fn delete(&self, id: RunId, claim: Option<&Idempotency>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        if let Some(claim) = claim {
            forget_in(&mut tx, claim, &id.to_string()).await?;
        }
        tx.execute(DELETE.bind(id.number())).await?;
        tx.commit().await
    }

    /// Forgets runs that ended before `before`; answers how many.
    pub async fn purge(&self, before: Time) -> Result<u64> {
        self.db.execute_slowly(PURGE.bind(before)).await
    }
}

fn bind_new(run: &NewRun) -> Query {
    let steps = vec![StepRun::pending(); run.spec.steps.len()];
    INSERT
        .bind(run.org.as_str())
        .bind(run.project.as_str())
        .bind(run.sandbox.as_str())
        .bind(to_json(&run.spec))
        .bind(RunState::Queued.as_str())
        .bind(to_json(&steps))
        .bind(run.created_at)
}

fn queued(id: RunId, run: &NewRun) -> PipelineRun {
    PipelineRun {
        id,
        org: run.org.clone(),
        project: run.project.clone(),
        sandbox: run.sandbox.clone(),
        spec: run.spec.clone(),
        state: RunState::Queued,
        steps: vec![StepRun::pending(); run.spec.steps.len()],
        failure: None,
        cancel: false,
        created_at: run.created_at,
        started_at: None,
        ended_at: None,
    }
}

fn to_run(row: &Row) -> Result<PipelineRun> {
    let failure = row.opt_text("failure")?;
    let failure = failure.map(|text| serde_json::from_str(&text)).transpose();
    Ok(PipelineRun {
        id: RunId::new(row.number("id")?),
        org: row.parse("org_id")?,
        project: row.parse("project_id")?,
        sandbox: row.parse("sandbox_id")?,
        spec: row.json("spec")?,
        state: row.parse("state")?,
        steps: row.json("steps")?,
        failure: failure.map_err(|e| StoreError::corrupt("failure", e))?,
        cancel: row.int("cancel")? != 0,
        created_at: row.time("created_at")?,
        started_at: row.opt_time("started_at")?,
        ended_at: row.opt_time("ended_at")?,
    })
}
