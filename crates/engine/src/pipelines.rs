//! Use cases of pipelines: the steps of a markdown document, run in order in one fresh sandbox.
//!
//! ```text
//! submit: document -> run recorded (its number, its sandbox's id) -> sandbox accepted -> owner task
//! owner:  sandbox runs -> each step: id recorded -> script placed -> command -> result recorded
//!         -> sandbox destroyed -> ending recorded
//! ```
//! Every arrow can be walked again after a crash: ids are recorded before what they name is made.

mod document;
mod follow;
mod live;
mod output;
mod owner;
mod step;

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::pipeline::{RunSpec, RunState, Step, validate_steps};
use pinfold_model::{Code, Ctx, Error, PipelineRun, Result, RunId, limits};
use pinfold_store::{Idempotency, Inserted, NewRun, Page, PageRequest};
use serde::Serialize;

use crate::access::scope;
use crate::engine::Shared;
use crate::sandboxes::{Resolved, accept};
use crate::usecase::Note;
use crate::{Accepted, CreateSandbox, Engine, Origin};

pub use document::{PIPELINE_DOCUMENT_MAX_BYTES, PipelineDocument};
pub use follow::{RunEvent, RunReader};
pub use output::{ReportBounds, RunReport, StepOutput};

pub(crate) use live::Runs;
pub(crate) use owner::go_on;

use live::LiveRun;

/// What a caller asks for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubmitRun {
    pub steps: Vec<Step>,
    /// Of the whole run; at most, and where `None`, 24 hours.
    pub timeout: Option<Duration>,
    /// The sandbox that the run gets.
    pub sandbox: CreateSandbox,
}

impl Engine {
    /// Accepts a run and answers at once. What can be judged before it runs is judged here: its
    /// steps, its image, its resources, the quota.
    ///
    /// The same idempotency key with the same request answers with the same run; with another
    /// request it is a conflict.
    pub async fn submit_run(
        &self,
        ctx: &Ctx,
        request: SubmitRun,
        idempotency: Option<&str>,
    ) -> Result<Accepted<PipelineRun>> {
        let note = Note::new("pipeline.submit");
        self.audited(ctx, &note, async {
            validate_steps(&request.steps, request.timeout)?;
            let claim = self.claim(ctx, "pipeline.submit", idempotency, &request)?;
            let resolved = self.resolve(ctx, request.sandbox).await?;
            let run = NewRun {
                org: ctx.principal.org.clone(),
                project: ctx.principal.project.clone(),
                sandbox: resolved.sandbox.id.clone(),
                spec: RunSpec {
                    steps: request.steps,
                    timeout: request.timeout.unwrap_or(limits::PIPELINE_TIMEOUT_MAX),
                    sandbox: resolved.sandbox.spec.clone(),
                    key: resolved.sandbox.key.clone(),
                },
                created_at: self.now(),
            };
            let shared = Arc::clone(self.shared());
            let accepted = self
                .detached(async move { submit(&shared, run, resolved, claim).await })
                .await?;
            note.about(accepted.value.id.to_string());
            note.fact("sandbox", accepted.value.sandbox.as_str());
            note.fact("replay", accepted.origin == Origin::Replay);
            Ok(accepted)
        })
        .await
    }

    /// A run as it is now.
    pub async fn get_run(&self, ctx: &Ctx, id: RunId) -> Result<PipelineRun> {
        self.timed(ctx, "pipeline.get", self.any_run(ctx, id)).await
    }

    /// Newest first; `None` is every state.
    pub async fn list_runs(
        &self,
        ctx: &Ctx,
        state: Option<RunState>,
        page: &PageRequest,
    ) -> Result<Page<PipelineRun>> {
        self.timed(ctx, "pipeline.list", async {
            let runs = self.store().pipeline_runs();
            let mut page = runs.list(&scope(ctx), state, page).await?;
            for item in &mut page.items {
                if let Some(live) = self.inner.runs.get(item.id) {
                    *item = live.run();
                }
            }
            Ok(page)
        })
        .await
    }

    /// Asks a run to end: its step is killed, its sandbox destroyed. Of a run that has ended it
    /// answers with how it ended; asking again is harmless.
    pub async fn cancel_run(&self, ctx: &Ctx, id: RunId) -> Result<PipelineRun> {
        let note = Note::new("pipeline.cancel");
        note.about(id.to_string());
        self.audited(ctx, &note, async {
            let run = self.any_run(ctx, id).await?;
            note.of(&run.project);
            if run.state.is_terminal() {
                return Ok(run);
            }
            // Recorded first: an engine that starts after this one carries it out.
            self.store().pipeline_runs().request_cancel(id).await?;
            if let Some(live) = self.inner.runs.get(id) {
                live.cancel();
            }
            self.any_run(ctx, id).await
        })
        .await
    }

    async fn any_run(&self, ctx: &Ctx, id: RunId) -> Result<PipelineRun> {
        let run = match self.inner.runs.get(id) {
            Some(live) => Some(live.run()),
            None => self.store().pipeline_runs().get(id).await?,
        };
        match run {
            Some(run) if self.sees(ctx, &run.project).await? => Ok(run),
            _ => Err(Error::new(Code::RunNotFound, format!("no run {id}"))),
        }
    }
}

async fn submit(
    shared: &Arc<Shared>,
    run: NewRun,
    resolved: Resolved,
    claim: Option<Idempotency>,
) -> Result<Accepted<PipelineRun>> {
    let runs = shared.store.pipeline_runs();
    let run = match runs.insert(&run, claim.as_ref()).await? {
        Inserted::New(run) => run,
        Inserted::Replay(known) => {
            return Ok(Accepted {
                value: shared.runs.get(known.id).map_or(known, |live| live.run()),
                origin: Origin::Replay,
            });
        }
    };
    // Found from here on, so that a cancel is.
    let live = LiveRun::adopt(shared, run.clone());
    if let Err(error) = accept(shared, resolved, None).await {
        // As if it had not been submitted. Where this fails too, its owner ends it: nothing that was
        // refused may run later.
        match runs.delete(run.id, claim.as_ref()).await {
            Ok(_) => shared.runs.remove(run.id),
            Err(left) => {
                tracing::error!(run = %run.id, error = %left, "a refused run is cancelled");
                live.cancel();
                owner::start(shared, live);
            }
        }
        return Err(error);
    }
    owner::start(shared, live);
    Ok(Accepted {
        value: run,
        origin: Origin::New,
    })
}
