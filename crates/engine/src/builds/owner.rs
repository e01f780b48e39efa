//! The owner task of a build: the only one that changes it, from its first step to its recorded end.
//!
//! Sandboxes are recorded before they are made and are gone before the end is recorded: whoever sees
//! a build ended finds nothing of it but its image, and a crash leaves nothing that the next engine
//! does not find.

use std::sync::{Arc, Weak};
use std::time::Duration;

use pinfold_model::build::{BuildFailure, BuildFault, BuildState};
use pinfold_model::pipeline::StepState;
use pinfold_model::{Build, Code, Ctx, Error, ErrorKind, Image, ImageId, Result};
use tokio_util::task::TaskTracker;

use super::layout;
use super::live::{self, LiveBuild};
use crate::clock::later;
use crate::engine::{Inner, Shared};
use crate::turns::Turn;
use crate::{Engine, sandboxes};

/// Between two attempts at something that has to happen.
const RETRY: Duration = Duration::from_millis(500);

/// Gives a build its task.
pub(super) fn start(engine: &Engine, ctx: Ctx, build: Build) {
    let shared = Arc::clone(engine.shared());
    let live = LiveBuild::adopt(&shared, build.clone());
    let owner = Owner {
        engine: Arc::downgrade(&engine.inner),
        ctx,
        live,
        build,
        shared: Arc::clone(&shared),
        turn: None,
        unstoppable: TaskTracker::new(),
        at_step: None,
    };
    shared.tasks.spawn(owner.run());
}

/// Ends a build that an earlier engine left: its sandboxes go, and it has failed. What its steps
/// left by then the next build takes.
pub(super) fn lose(shared: &Arc<Shared>, build: Build) {
    let live = LiveBuild::adopt(shared, build.clone());
    let mut lost = Ending {
        shared: Arc::clone(shared),
        live,
        build,
        unstoppable: TaskTracker::new(),
    };
    let failure = BuildFailure::new(
        BuildFault::Lost,
        "the server ended in the middle of the build; build again, which takes what was done",
    );
    let ending = shared.ending.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = ending.cancelled() => {}
            () = lost.end(Err(failure)) => {}
        }
    });
}

pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    /// Pulls need the whole engine, which this task must not keep alive.
    engine: Weak<Inner>,
    pub(super) ctx: Ctx,
    pub(super) live: Arc<LiveBuild>,
    /// Ahead of what is published and recorded.
    pub(super) build: Build,
    turn: Option<Arc<Turn>>,
    /// What goes on to its end where the build is stopped: half of it would have no owner.
    unstoppable: TaskTracker,
    /// The step that is being done.
    pub(super) at_step: Option<usize>,
}

/// The last part of a build's life.
struct Ending {
    shared: Arc<Shared>,
    live: Arc<LiveBuild>,
    build: Build,
    unstoppable: TaskTracker,
}

impl Owner {
    async fn run(mut self) {
        let ending = self.shared.ending.clone();
        tokio::select! {
            biased;
            // The next engine finds what is left and ends it.
            () = ending.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let stopped = stopped(Arc::clone(&self.shared), Arc::clone(&self.live));
        let made = tokio::select! {
            made = self.make() => made,
            stopped = stopped => Err(stopped),
        };
        let made = made.map_err(|failure| BuildFailure {
            step: failure.step.or(self.at_step),
            ..failure
        });
        let mut ending = Ending {
            shared: Arc::clone(&self.shared),
            live: Arc::clone(&self.live),
            build: self.build.clone(),
            unstoppable: self.unstoppable.clone(),
        };
        ending.end(made).await;
    }

    async fn make(&mut self) -> Result<Image, BuildFailure> {
        self.turn = Some(self.shared.builds.turn(&self.build.project).await);
        self.build.state = BuildState::Building;
        self.build.started_at = Some(self.shared.clock.now());
        self.save().await;
        let spec = self.build.spec.clone();
        let read = self.blocking(move || layout::read(&spec)).await?;
        let (evaluator, layout) = read.map_err(|error| dockerfile(&error))?;
        let plan = self.plan(evaluator, &layout).await?;
        self.carry_out(plan).await
    }

    /// Does something in a thread of its own, which holds the build's turn.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BuildFailure> {
        let done = live::blocking(self.turn.clone(), work).await;
        done.map_err(|error| failure(&error))
    }

    /// Does something to its end, whether or not the build is stopped; the build ends after it.
    pub(super) async fn unstopped<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T, BuildFailure> {
        let work = self.unstoppable.track_future(work);
        let done = self.shared.tasks.spawn(work).await;
        let done = done.map_err(Error::internal);
        done.and_then(|done| done).map_err(|error| failure(&error))
    }

    /// From here to the build's end the image of a step is not let go.
    pub(super) fn stand_on(&self, step: &ImageId) {
        self.live.stand_on(step);
    }

    pub(super) fn engine(&self) -> Result<Engine, BuildFailure> {
        let inner = self.engine.upgrade();
        inner
            .map(|inner| Engine { inner })
            .ok_or_else(|| BuildFailure::new(BuildFault::Lost, "the server is shutting down"))
    }

    /// Records and publishes what the build is now.
    pub(super) async fn save(&mut self) {
        save(&self.shared, &self.live, &self.build).await;
    }

    pub(super) fn publish(&self) {
        publish(&self.live, &self.build);
    }

    pub(super) fn began(&mut self, step: usize) {
        self.at_step = Some(step);
        let run = &mut self.build.steps[step].run;
        run.state = StepState::Running;
        run.started_at = Some(self.shared.clock.now());
        self.publish();
    }

    pub(super) fn passed(&mut self, step: usize) {
        let now = self.shared.clock.now();
        let run = &mut self.build.steps[step].run;
        run.state = StepState::Passed;
        run.started_at.get_or_insert(now);
        run.ended_at = Some(now);
        self.publish();
    }

    /// An earlier build did it.
    pub(super) fn taken(&mut self, step: usize) {
        self.build.steps[step].cached = true;
        self.passed(step);
    }
}

impl Ending {
    async fn end(&mut self, made: Result<Image, BuildFailure>) {
        self.unstoppable.close();
        self.unstoppable.wait().await;
        for id in self.build.sandboxes.clone() {
            while let Err(error) = sandboxes::destroy(&self.shared, &id).await {
                tracing::error!(build = %self.build.id, %error, "sandbox of a build not destroyed yet");
                tokio::time::sleep(RETRY).await;
            }
        }
        self.build.sandboxes.clear();
        let now = self.shared.clock.now();
        self.settle_steps();
        self.build.ended_at = Some(now);
        match made {
            Ok(image) => self.complete(image).await,
            Err(failure) => self.fail(failure),
        }
        save(&self.shared, &self.live, &self.build).await;
        let state = self.build.state.as_str();
        metrics::counter!("pinfold_builds_total", "state" => state).increment(1);
        self.shared.builds.remove(&self.build.id);
    }

    fn settle_steps(&mut self) {
        let now = self.shared.clock.now();
        for step in &mut self.build.steps {
            match step.run.state {
                StepState::Running => {
                    step.run.state = StepState::Failed;
                    step.run.ended_at = Some(now);
                }
                StepState::Pending => step.run.state = StepState::Skipped,
                StepState::Passed | StepState::Failed | StepState::Skipped => {}
            }
        }
    }

    async fn complete(&mut self, image: Image) {
        self.build.state = BuildState::Complete;
        self.build.image = Some(image.id.clone());
        if let Err(error) = self
            .shared
            .store
            .builds()
            .complete(&self.build, &image)
            .await
        {
            tracing::error!(build = %self.build.id, %error, "a built image was not recorded");
            self.build.image = None;
            self.fail(BuildFailure::new(
                BuildFault::Internal,
                "the image could not be recorded; build again",
            ));
        }
    }

    fn fail(&mut self, failure: BuildFailure) {
        self.build.state = BuildState::Failed;
        self.build.failure = Some(failure);
    }
}

/// Tries for as long as it takes: what follows relies on it.
async fn save(shared: &Shared, live: &LiveBuild, build: &Build) {
    loop {
        match shared.store.builds().save(build).await {
            // Also one that was recorded before this engine knew the build.
            Ok(true) => break live.cancel(),
            Ok(false) => break,
            Err(error) => {
                tracing::error!(build = %build.id, %error, "build not recorded, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    publish(live, build);
}

fn publish(live: &LiveBuild, build: &Build) {
    live.view.send_modify(|view| {
        let cancel = view.cancel;
        *view = build.clone();
        view.cancel = cancel;
    });
}

/// Returns when the build shall end early.
async fn stopped(shared: Arc<Shared>, live: Arc<LiveBuild>) -> BuildFailure {
    let (created_at, timeout) = {
        let build = live.view.borrow();
        (build.created_at, build.spec.timeout)
    };
    tokio::select! {
        () = live.cancelled.cancelled() => {
            BuildFailure::new(BuildFault::Cancelled, "the build was cancelled")
        }
        () = shared.clock.sleep_until(later(created_at, timeout)) => {
            let seconds = timeout.as_secs_f64();
            let text = format!("the build took longer than its timeout of {seconds} s");
            BuildFailure::new(BuildFault::TimedOut, text)
        }
    }
}

/// What stopped a build, in the words of whoever stopped it, where they are public.
pub(super) fn failure(error: &Error) -> BuildFailure {
    let fault = match error.code() {
        Code::DiskFull => BuildFault::OutOfDisk,
        Code::SandboxGone | Code::SandboxNotFound | Code::SandboxFailed => {
            BuildFault::SandboxFailed
        }
        _ => match error.kind() {
            ErrorKind::QuotaExceeded => BuildFault::QuotaExceeded,
            ErrorKind::Unavailable | ErrorKind::Timeout => BuildFault::SandboxFailed,
            ErrorKind::Internal => BuildFault::Internal,
            _ => BuildFault::StepFailed,
        },
    };
    BuildFailure::new(fault, error.message())
}

pub(super) fn dockerfile(error: &pinfold_images::DockerfileError) -> BuildFailure {
    BuildFailure::new(BuildFault::Dockerfile, error.to_string())
}
