//! Runs that have not ended, by number: what use cases see of their owner tasks.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use pinfold_model::{PipelineRun, RunId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;

/// Every run of this engine that has not ended.
#[derive(Default)]
pub(crate) struct Runs(RwLock<HashMap<RunId, Arc<LiveRun>>>);

impl Runs {
    pub(crate) fn get(&self, id: RunId) -> Option<Arc<LiveRun>> {
        let runs = self.0.read().expect("no panic under this lock");
        runs.get(&id).cloned()
    }

    pub(super) fn remove(&self, id: RunId) {
        let mut runs = self.0.write().expect("no panic under this lock");
        runs.remove(&id);
    }

    /// For an engine that destroys its sandboxes as it ends.
    pub(crate) fn cancel_all(&self) {
        let runs = self.0.read().expect("no panic under this lock");
        runs.values().for_each(|live| live.cancel());
    }
}

/// The handle of a run that has not ended.
pub(crate) struct LiveRun {
    pub(super) view: watch::Sender<PipelineRun>,
    pub(super) cancelled: CancellationToken,
}

impl LiveRun {
    pub(super) fn adopt(shared: &Shared, run: PipelineRun) -> Arc<Self> {
        let (id, cancel) = (run.id, run.cancel);
        let live = Arc::new(Self {
            view: watch::Sender::new(run),
            cancelled: CancellationToken::new(),
        });
        if cancel {
            live.cancel();
        }
        let mut runs = shared.runs.0.write().expect("no panic under this lock");
        runs.insert(id, Arc::clone(&live));
        drop(runs);
        live
    }

    pub(crate) fn run(&self) -> PipelineRun {
        self.view.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<PipelineRun> {
        self.view.subscribe()
    }

    pub(crate) fn cancel(&self) {
        self.view.send_modify(|run| run.cancel = true);
        self.cancelled.cancel();
    }
}
