//! Builds that have not ended: what use cases see of their owner tasks.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pinfold_model::{Build, BuildId, Error, ImageId, ProjectId, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::turns::{Turn, Turns};

/// Builds at work at a time; more of them wait, queued.
const WORKING_MAX: usize = 16;
/// Of these, builds of one project: whoever has slow ones holds up nobody else.
const WORKING_OF_PROJECT_MAX: usize = 4;

/// Dockerfiles that are read at a time before their builds are accepted; of these, one project's.
const JUDGED_MAX: usize = 8;
const JUDGED_OF_PROJECT_MAX: usize = 2;

/// Every build of this engine that has not ended.
pub(crate) struct Builds {
    live: RwLock<HashMap<BuildId, Arc<LiveBuild>>>,
    turns: Turns<ProjectId>,
    judged: Turns<ProjectId>,
}

/// Does something in a thread of its own. It holds the build's turn until it is done, also where
/// nobody waits for it any more: threads are bounded by turns.
pub(super) async fn blocking<T: Send + 'static>(
    turn: Option<Arc<Turn>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let held = move || {
        let done = work();
        drop(turn);
        done
    };
    let done = tokio::task::spawn_blocking(held).await;
    done.map_err(Error::internal)
}

impl Default for Builds {
    fn default() -> Self {
        Self {
            live: RwLock::default(),
            turns: Turns::new(WORKING_MAX, WORKING_OF_PROJECT_MAX),
            judged: Turns::new(JUDGED_MAX, JUDGED_OF_PROJECT_MAX),
        }
    }
}

impl Builds {
    /// Waits for what a build holds while it is at work.
    pub(super) async fn turn(&self, project: &ProjectId) -> Arc<Turn> {
        Arc::new(self.turns.take(project.clone()).await)
    }

    /// Waits for what whoever reads a Dockerfile before there is a build holds.
    pub(super) async fn judging(&self, project: &ProjectId) -> Arc<Turn> {
        Arc::new(self.judged.take(project.clone()).await)
    }

    /// Whether a build that has not ended stands on what a step left, or is about to.
    pub(super) fn stands_on(&self, step: &ImageId) -> bool {
        let builds = self.live.read().expect("no panic under this lock");
        builds.values().any(|live| live.steps().contains(step))
    }

    pub(crate) fn get(&self, id: &BuildId) -> Option<Arc<LiveBuild>> {
        let builds = self.live.read().expect("no panic under this lock");
        builds.get(id).cloned()
    }

    pub(super) fn remove(&self, id: &BuildId) {
        let mut builds = self.live.write().expect("no panic under this lock");
        builds.remove(id);
    }

    /// For an engine that destroys its sandboxes as it ends.
    pub(crate) fn cancel_all(&self) {
        let builds = self.live.read().expect("no panic under this lock");
        builds.values().for_each(|live| live.cancel());
    }
}

/// The handle of a build that has not ended.
pub(crate) struct LiveBuild {
    pub(super) view: watch::Sender<Build>,
    pub(super) cancelled: CancellationToken,
    /// Images of steps that it stands on.
    steps: Mutex<HashSet<ImageId>>,
}

impl LiveBuild {
    pub(super) fn adopt(shared: &Shared, build: Build) -> Arc<Self> {
        let (id, cancel) = (build.id.clone(), build.cancel);
        let live = Arc::new(Self {
            view: watch::Sender::new(build),
            cancelled: CancellationToken::new(),
            steps: Mutex::default(),
        });
        if cancel {
            live.cancel();
        }
        let mut builds = shared
            .builds
            .live
            .write()
            .expect("no panic under this lock");
        builds.insert(id, Arc::clone(&live));
        drop(builds);
        live
    }

    pub(crate) fn build(&self) -> Build {
        self.view.borrow().clone()
    }

    /// From here on the image of a step is not let go.
    pub(super) fn stand_on(&self, step: &ImageId) {
        self.steps().insert(step.clone());
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, HashSet<ImageId>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self) -> watch::Receiver<Build> {
        self.view.subscribe()
    }

    /// Returns when it has ended, or nobody works on it any more.
    pub(super) async fn ended(&self) {
        let mut view = self.watch();
        let _ = view.wait_for(|build| build.state.is_terminal()).await;
    }

    pub(crate) fn cancel(&self) {
        self.view.send_modify(|build| build.cancel = true);
        self.cancelled.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_thread_of_a_build_that_is_gone_keeps_its_turn() {
        let (builds, project) = (Builds::default(), ProjectId::generate());
        let mut turns = Vec::new();
        for _ in 0..WORKING_OF_PROJECT_MAX {
            turns.push(Some(builds.turn(&project).await));
        }
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let work = blocking(turns.pop().expect("one"), move || {
            begun.send(()).expect("awaited");
            ends.recv().expect("told to end");
        });
        {
            tokio::pin!(work);
            tokio::select! {
                _ = &mut work => panic!("it has not been told to end"),
                begun = has_begun => begun.expect("it begins"),
            }
        }
        // Nobody waits for the thread any more, and it goes on.
        let next = builds.turn(&project);
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        end.send(()).expect("it waits");
        drop(next.await);
    }
}
