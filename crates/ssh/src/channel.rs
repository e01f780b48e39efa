//! Channels of a connection. Each has a task that ends with its connection.

pub(crate) mod forward;
pub(crate) mod input;
pub(crate) mod output;
mod program;
mod requests;
pub(crate) mod session;
mod setup;
mod signals;

use std::future::Future;
use std::sync::Arc;

use pinfold_engine::{Engine, SshLogin};
use pinfold_model::{Ctx, SandboxId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::connection::Connection;

pub(crate) use setup::Setup;

/// What a channel works with.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) connection: Arc<Connection>,
    pub(crate) login: Arc<SshLogin>,
}

impl Place {
    /// What every use case takes.
    pub(crate) fn engine(&self) -> (&Engine, &Ctx, &SandboxId) {
        let login = &self.login;
        (&self.connection.shared.engine, login.ctx(), login.sandbox())
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
        let connection = &self.connection;
        let (tasks, over) = (connection.shared.tasks.clone(), connection.over.clone());
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
