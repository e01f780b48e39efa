//! The owner task of a run: the only one that changes it, from its sandbox to its recorded ending.
//!
//! The results of all steps are recorded before the sandbox is destroyed, and the ending after: a
//! crash between finds a run with nothing left to do but that, and whoever sees a run ended finds
//! its sandbox gone.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::pipeline::{OnFailure, RunFailure, RunFault, RunState, StepState};
use pinfold_model::{Code, Error, ErrorKind, PipelineRun, Result, SandboxState};

use super::live::LiveRun;
use crate::clock::later;
use crate::engine::Shared;
use crate::live::LiveSandbox;
use crate::sandboxes::{Resolved, accept, destroy, fresh};

/// Between two attempts at something that has to happen.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Gives a run its task.
pub(super) fn start(shared: &Arc<Shared>, live: Arc<LiveRun>) {
    let owner = Owner {
        shared: Arc::clone(shared),
        run: live.run(),
        live,
    };
    shared.tasks.spawn(owner.run());
}

/// Gives a run that an earlier engine left its task again.
pub(crate) fn go_on(shared: &Arc<Shared>, run: PipelineRun) {
    start(shared, LiveRun::adopt(shared, run));
}

pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) live: Arc<LiveRun>,
    /// Ahead of what is published and recorded.
    pub(super) run: PipelineRun,
}

impl Owner {
    async fn run(mut self) {
        let ending = self.shared.ending.clone();
        tokio::select! {
            biased;
            // What runs in the sandbox runs on; the next engine goes on from here.
            () = ending.cancelled() => {}
            () = self.work() => self.shared.runs.remove(self.run.id),
        }
    }

    async fn work(&mut self) {
        if self.has_work()
            && let Err(failure) = self.steps().await
        {
            self.run.failure = Some(failure);
        }
        self.settle_the_rest().await;
        self.save().await;
        self.destroy_sandbox().await;
        self.run.state = self.run.outcome();
        self.run.ended_at = Some(self.shared.clock.now());
        self.save().await;
        let state = self.run.state.as_str();
        metrics::counter!("pinfold_pipeline_runs_total", "state" => state).increment(1);
    }

    /// An earlier engine may have come to the last step, or to a failure.
    fn has_work(&self) -> bool {
        let done = |state: StepState| state.is_terminal();
        let all_done = self.run.steps.iter().all(|step| done(step.state));
        self.run.failure.is_none() && !all_done && !self.run.stopped_by_step()
    }

    async fn steps(&mut self) -> Result<(), RunFailure> {
        let sandbox = self.sandbox().await?;
        if self.run.state == RunState::Queued {
            self.run.state = RunState::Running;
            self.run.started_at = Some(self.shared.clock.now());
            self.save().await;
        }
        for index in 0..self.run.steps.len() {
            if self.run.steps[index].state.is_terminal() {
                continue;
            }
            if self.live.cancelled.is_cancelled() {
                return Err(cancelled());
            }
            // What stops the run is recorded together with its step, by `work`.
            self.step(&sandbox, index).await?;
            self.save().await;
            let failed = self.run.steps[index].state == StepState::Failed;
            if failed && self.run.spec.steps[index].on_failure == OnFailure::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The run's sandbox when it runs.
    async fn sandbox(&mut self) -> Result<Arc<LiveSandbox>, RunFailure> {
        let live = match self.shared.registry.sandbox(&self.run.sandbox) {
            Some(live) => live,
            None => self.missing_sandbox().await?,
        };
        let booted = live.until(|sandbox| sandbox.state != SandboxState::Creating);
        let sandbox = tokio::select! {
            sandbox = booted => sandbox,
            stopped = self.stopped() => return Err(stopped),
        };
        match sandbox.state.require_running() {
            Ok(()) => Ok(live),
            Err(error) => Err(match sandbox.failure {
                Some(why) => RunFailure::new(
                    RunFault::SandboxFailed,
                    format!("the sandbox did not boot: {why}"),
                ),
                None => failure(&error),
            }),
        }
    }

    /// It ended, or an earlier engine died before it was recorded.
    async fn missing_sandbox(&self) -> Result<Arc<LiveSandbox>, RunFailure> {
        let made = async {
            let store = &self.shared.store;
            if let Some(ended) = store.sandboxes().get(&self.run.sandbox).await? {
                ended.state.require_running()?;
                return Err(Error::internal("a live sandbox has no owner"));
            }
            let spec = self.run.spec.sandbox.clone();
            let image = store.images().get(&spec.image).await?;
            let image = image.ok_or_else(|| {
                Error::new(Code::ImageNotFound, "the image of the run has been removed")
            })?;
            let now = self.shared.clock.now();
            let key = self.run.spec.key.clone();
            let sandbox = fresh(self.run.sandbox.clone(), &self.run.project, key, spec, now);
            let resolved = Resolved {
                sandbox,
                image,
                tunnel: None,
                setup_secrets: Default::default(),
            };
            accept(&self.shared, resolved, None).await?;
            let live = self.shared.registry.sandbox(&self.run.sandbox);
            live.ok_or_else(|| Error::new(Code::SandboxGone, "the sandbox has been destroyed"))
        };
        made.await.map_err(|error: Error| failure(&error))
    }

    /// Returns when the run shall end early.
    pub(super) async fn stopped(&self) -> RunFailure {
        let deadline = later(self.run.created_at, self.run.spec.timeout);
        tokio::select! {
            () = self.live.cancelled.cancelled() => cancelled(),
            () = self.shared.clock.sleep_until(deadline) => {
                let seconds = self.run.spec.timeout.as_secs_f64();
                let text = format!("the run took longer than its timeout of {seconds} s");
                RunFailure::new(RunFault::TimedOut, text)
            }
        }
    }

    /// A step whose command was accepted has run, and is told so; the others are skipped.
    async fn settle_the_rest(&mut self) {
        for index in 0..self.run.steps.len() {
            if self.run.steps[index].state.is_terminal() {
                continue;
            }
            let stopped = self.run.failure.clone();
            match self.settle_known(index, stopped).await {
                None => self.run.steps[index].state = StepState::Skipped,
                Some(Ok(())) => {}
                Some(Err(failure)) => {
                    self.run.failure.get_or_insert(failure);
                }
            }
        }
    }

    /// Records and publishes what the run is now. Tries for as long as it takes: what follows
    /// relies on it.
    pub(super) async fn save(&mut self) {
        self.run.cancel = self.live.view.borrow().cancel;
        loop {
            match self.shared.store.pipeline_runs().save(&self.run).await {
                // Also one that was recorded before this engine knew the run.
                Ok(true) => break self.live.cancel(),
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(run = %self.run.id, %error, "run not recorded, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        self.publish();
    }

    pub(super) fn publish(&self) {
        self.live.view.send_modify(|run| {
            let cancel = run.cancel;
            *run = self.run.clone();
            run.cancel = cancel;
        });
    }

    async fn destroy_sandbox(&self) {
        while let Err(error) = destroy(&self.shared, &self.run.sandbox).await {
            tracing::error!(run = %self.run.id, %error, "sandbox of a run not destroyed yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn cancelled() -> RunFailure {
    RunFailure::new(RunFault::Cancelled, "the run was cancelled")
}

/// What stopped a run, in its owner's words where they are public.
pub(super) fn failure(error: &Error) -> RunFailure {
    let fault = match error.code() {
        Code::SandboxGone | Code::SandboxNotFound => RunFault::SandboxGone,
        _ => match error.kind() {
            ErrorKind::QuotaExceeded => RunFault::QuotaExceeded,
            ErrorKind::FailedPrecondition | ErrorKind::NotFound | ErrorKind::Unavailable => {
                RunFault::SandboxFailed
            }
            _ => RunFault::Internal,
        },
    };
    RunFailure::new(fault, error.message())
}
