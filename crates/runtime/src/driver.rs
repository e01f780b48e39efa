//! What every way of isolating a sandbox has to offer.
//!
//! Contract, checked for each driver by the suite in `tests/driver_contract.rs`:
//!
//! - `boot` either returns a running guest or leaves nothing behind. Its work survives this
//!   process: a sandbox lives on when the server is killed.
//! - `attach` finds a sandbox that an earlier process booted; it is `None` when the sandbox is gone.
//! - `destroy` returns when no process of the sandbox runs any more; what remains (mounts, files,
//!   network) is removed behind it, and again at the next start if this process dies first.
//!   Destroying what does not exist succeeds. A `boot` of the same id waits for that clean-up.
//! - All methods may be called concurrently for different sandboxes; for one sandbox the caller
//!   (its owner task) calls one at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use pinfold_model::sandbox::HostMount;
use pinfold_model::usage::Gauge;
use pinfold_model::{Isolation, NetworkMode, Resources, SandboxId};

use crate::guest::Guest;

/// Everything a driver needs to boot. Nothing in here is looked up again later.
#[derive(Debug, Clone)]
pub struct BootSpec {
    pub id: SandboxId,
    pub root: RootFs,
    pub resources: Resources,
    pub network: NetworkMode,
    pub hostname: String,
    pub mounts: Vec<HostMount>,
    /// End the sandbox when this process ends (embedded use).
    pub die_with_host: bool,
}

/// A root filesystem: read-only layers on this machine, lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    pub layers: Vec<PathBuf>,
    /// Directories of the host shown read-only inside, `(source, target)`; only the image `host`
    /// has any.
    pub binds: Vec<(PathBuf, PathBuf)>,
}

/// What a driver found when it looked around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    pub id: SandboxId,
    /// Its guest's process is alive.
    pub alive: bool,
}

#[async_trait]
pub trait Driver: Send + Sync + 'static {
    fn isolation(&self) -> Isolation;

    /// Boots a guest on a fresh disk, or on the kept disk of a stopped sandbox with this id.
    async fn boot(&self, spec: &BootSpec) -> Result<Guest, BootError>;

    /// Connects to the guest of a sandbox that is already running.
    async fn attach(&self, id: &SandboxId) -> Result<Option<Guest>, DriverError>;

    /// Everything of ours on this machine that belongs to a sandbox, alive or not.
    async fn survey(&self) -> Result<Vec<Remains>, DriverError>;

    /// Takes the CPU away from every process of the sandbox, the guest included.
    async fn freeze(&self, id: &SandboxId) -> Result<(), DriverError>;

    async fn thaw(&self, id: &SandboxId) -> Result<(), DriverError>;

    /// Whether `stop` can keep a disk here; otherwise why not. Asked before anything is ended.
    fn check_stop(&self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Ends all processes and keeps the disk, so that `boot` with the same id finds it again.
    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError>;

    async fn destroy(&self, id: &SandboxId) -> Result<(), DriverError>;

    /// What the sandbox uses now; all zero when it is not running.
    async fn gauge(&self, id: &SandboxId) -> Result<Gauge, DriverError>;

    /// Returns when the clean-up behind every `destroy` so far is done. For tests and `--ephemeral`.
    async fn settle(&self);

    /// Facts for metrics and `/healthz`, by name.
    fn counters(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

/// Ends everything that `driver` finds, and returns when nothing is left of it.
pub async fn clear(driver: &dyn Driver) -> Result<(), DriverError> {
    for remains in driver.survey().await? {
        tracing::info!(sandbox = %remains.id, alive = remains.alive, "cleared");
        driver.destroy(&remains.id).await?;
    }
    driver.settle().await;
    Ok(())
}

/// Why a sandbox did not boot.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// This host or user cannot provide what was asked for; the text says what to do.
    #[error("{0}")]
    Unsupported(String),
    #[error("the image has no usable root filesystem: {0}")]
    BadImage(String),
    /// A step of the set-up failed; nothing is left behind.
    #[error("sandbox set-up failed at {step}")]
    Step {
        step: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the guest did not answer")]
    Guest(#[source] crate::guest::GuestError),
}

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("{0}")]
    Unsupported(String),
    #[error("{step} failed")]
    Step {
        step: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the guest did not answer")]
    Guest(#[source] crate::guest::GuestError),
}
