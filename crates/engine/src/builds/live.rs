//! Builds that have not ended: what use cases see of their owner tasks.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use pinfold_model::{Build, BuildId, ProjectId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;

/// Builds at work at a time; more of them wait, queued.
const WORKING_MAX: usize = 16;
/// Of these, builds of one project: whoever has slow ones holds up nobody else.
const WORKING_OF_PROJECT_MAX: usize = 4;

/// Every build of this engine that has not ended.
pub(crate) struct Builds {
    live: RwLock<HashMap<BuildId, Arc<LiveBuild>>>,
    turns: Arc<Semaphore>,
    turns_of_projects: RwLock<HashMap<ProjectId, Arc<Semaphore>>>,
}

impl Default for Builds {
    fn default() -> Self {
        Self {
            live: RwLock::default(),
            turns: Arc::new(Semaphore::new(WORKING_MAX)),
            turns_of_projects: RwLock::default(),
        }
    }
}

impl Builds {
    /// Waits for a turn of the project's, then one of everybody's; it lasts until the answer is dropped.
    pub(super) async fn turn(&self, project: &ProjectId) -> Option<[OwnedSemaphorePermit; 2]> {
        let of_project = {
            let mut turns = self.turns_of_projects.write();
            let turns = turns.as_mut().expect("no panic under this lock");
            let of_project = || Arc::new(Semaphore::new(WORKING_OF_PROJECT_MAX));
            Arc::clone(turns.entry(project.clone()).or_insert_with(of_project))
        };
        let of_project = of_project.acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some([of_project, of_all])
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
}

impl LiveBuild {
    pub(super) fn adopt(shared: &Shared, build: Build) -> Arc<Self> {
        let id = build.id.clone();
        let live = Arc::new(Self {
            view: watch::Sender::new(build),
            cancelled: CancellationToken::new(),
        });
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
