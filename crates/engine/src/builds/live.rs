//! Builds that have not ended: what use cases see of their owner tasks.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use pinfold_model::{Build, BuildId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;

/// Every build of this engine that has not ended.
#[derive(Default)]
pub(crate) struct Builds(RwLock<HashMap<BuildId, Arc<LiveBuild>>>);

impl Builds {
    pub(crate) fn get(&self, id: &BuildId) -> Option<Arc<LiveBuild>> {
        let builds = self.0.read().expect("no panic under this lock");
        builds.get(id).cloned()
    }

    pub(super) fn remove(&self, id: &BuildId) {
        let mut builds = self.0.write().expect("no panic under this lock");
        builds.remove(id);
    }

    /// For an engine that destroys its sandboxes as it ends.
    pub(crate) fn cancel_all(&self) {
        let builds = self.0.read().expect("no panic under this lock");
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
        let mut builds = shared.builds.0.write().expect("no panic under this lock");
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
