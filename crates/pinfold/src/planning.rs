//! A driver that boots nothing: for what an engine decides, without a sandbox coming of it.
//!
//! `pinfold run` takes the engine's order for a sandbox (image, template and limits resolved and
//! checked) and carries it out itself; `pinfold keys create` without a server needs no sandboxes
//! at all.

use async_trait::async_trait;
use pinfold_model::isolation::Level;
use pinfold_model::usage::Gauge;
use pinfold_model::{Isolation, SandboxId};
use pinfold_runtime::driver::{BootError, BootSpec, Driver, DriverError, Remains};
use pinfold_runtime::guest::Guest;
use tokio::sync::mpsc;

/// Hands every order to boot to whoever listens.
#[derive(Debug)]
pub(crate) struct Planning {
    orders: mpsc::Sender<BootSpec>,
}

impl Planning {
    /// The driver, and where its orders arrive, one at a time.
    pub(crate) fn new() -> (Self, mpsc::Receiver<BootSpec>) {
        let (orders, taken) = mpsc::channel(1);
        (Self { orders }, taken)
    }

    /// One that refuses to boot.
    pub(crate) fn deaf() -> Self {
        Self::new().0
    }
}

#[async_trait]
impl Driver for Planning {
    fn isolation(&self) -> Isolation {
        Isolation {
            level: Level::Namespace,
            enforced: Vec::new(),
            weaker: Vec::new(),
        }
    }

    /// Never boots: once the order is taken, the engine that waits here is dropped.
    async fn boot(&self, spec: &BootSpec) -> Result<Guest, BootError> {
        match self.orders.send(spec.clone()).await {
            Ok(()) => std::future::pending().await,
            Err(_) => Err(BootError::Unsupported(
                "no sandbox can be made here".to_owned(),
            )),
        }
    }

    async fn attach(&self, _: &SandboxId) -> Result<Option<Guest>, DriverError> {
        Ok(None)
    }

    async fn survey(&self) -> Result<Vec<Remains>, DriverError> {
        Ok(Vec::new())
    }

    async fn freeze(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn thaw(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn stop(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn destroy(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn gauge(&self, _: &SandboxId) -> Result<Gauge, DriverError> {
        Ok(Gauge::default())
    }

    fn cpu_used_us(&self, _: &SandboxId) -> Option<u64> {
        None
    }

    async fn settle(&self) {}
}
