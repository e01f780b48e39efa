//! Channels of a connection. Each has a task that ends with its connection.

pub(crate) mod forward;
pub(crate) mod inbox;
mod program;
pub(crate) mod session;
mod setup;

use std::future::Future;
use std::sync::Arc;

use pinfold_engine::{Engine, SshLogin};
use pinfold_model::{Ctx, SandboxId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gateway::Shared;

pub(crate) use setup::Setup;

/// What a channel works with.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) login: Arc<SshLogin>,
    pub(crate) over: CancellationToken,
}

impl Place {
    /// What every use case takes.
    pub(crate) fn engine(&self) -> (&Engine, &Ctx, &SandboxId) {
        let login = &self.login;
        (&self.shared.engine, login.ctx(), login.sandbox())
    }

    /// Runs the task of a channel until its connection ends.
    pub(crate) fn spawn<F>(
        self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce(Self) -> F,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tasks, over) = (self.shared.tasks.clone(), self.over.clone());
        let work = work(self);
        tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = over.cancelled() => {}
            }
            drop(permit);
        })
    }
}
