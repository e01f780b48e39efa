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
//! - `snapshot` and `fork` take a disk as it is at one moment, for all its processes: `moment` says
//!   whether they have to be held meanwhile. A process that dies amid them may leave the sandbox
//!   frozen (`thaw` repairs that) and never half a copy.
//! - All methods may be called concurrently for different sandboxes; for one sandbox the caller
//!   (its owner task) calls one at a time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;

use async_trait::async_trait;
use pinfold_model::sandbox::HostMount;
use pinfold_model::usage::Gauge;
use pinfold_model::{ImageId, Isolation, NetworkMode, Resources, SandboxId};

use crate::guest::Guest;

/// Everything a driver needs to boot. Nothing in here is looked up again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootSpec {
    pub id: SandboxId,
    pub root: RootFs,
    pub resources: Resources,
    pub network: NetworkMode,
    pub hostname: String,
    pub mounts: Vec<HostMount>,
    /// Absolute; made where the root filesystem lacks it.
    pub workdir: String,
    /// Whose the working directory is then: a name or number of the sandbox, with `:group` or
    /// without; empty is root.
    pub user: String,
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
    /// The snapshot whose disk the sandbox's own begins with; without one it begins empty.
    pub disk: Option<ImageId>,
}

/// How a copy of a disk comes to show one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its processes run, so they are frozen for the copy.
    Frozen,
    /// None of them gets any CPU: the sandbox is suspended or stopped.
    Still,
}

/// What a snapshot holds, as a layer in overlayfs's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotTree {
    pub path: PathBuf,
    /// Files in it that every sandbox has of its own.
    pub own: Vec<String>,
}

/// What a driver found when it looked around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    pub id: SandboxId,
    /// Its guest's process is alive.
    pub alive: bool,
}

/// Where everything arrives that a sandbox wants of the outside: connections to any address but its
/// own, and questions to any name server over UDP. What it wanted, a connection tells by its
/// original destination.
#[derive(Debug)]
pub struct Gate {
    pub tcp: TcpListener,
    pub udp: UdpSocket,
}

/// The network that a sandbox with a gate believes to be in. The addresses in it belong to nobody
/// out there (RFC 2544), so they can stand for names.
pub const GATE_NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
pub const GATE_PREFIX: u8 = 15;
/// The name server of such a sandbox.
pub const GATE_RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

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

    /// Whether disks can be copied here; otherwise why not. Asked before anything is recorded. The
    /// methods of snapshots below are for those that can.
    fn check_copy(&self) -> Result<(), DriverError> {
        Err(DriverError::Unsupported(
            "disks cannot be copied here".to_owned(),
        ))
    }

    /// Keeps what the sandbox's disk holds now as a snapshot, which any number of boots can begin
    /// with. It costs what the sandbox has written and not yet flushed, whatever the disk holds. The
    /// sandbox, of these limits, gets room for what the snapshot keeps of it, up to twice its disk in all.
    async fn snapshot(
        &self,
        _: &SandboxId,
        _: &ImageId,
        _: Moment,
        _: &Resources,
    ) -> Result<(), DriverError> {
        self.check_copy()
    }

    /// Makes the disk of a sandbox that has none yet from what that of the first one holds now; its
    /// first boot finds it. Its original, of these limits, gets room as by a snapshot.
    async fn fork(
        &self,
        _: &SandboxId,
        _: &SandboxId,
        _: Moment,
        _: &Resources,
    ) -> Result<(), DriverError> {
        self.check_copy()
    }

    /// Every snapshot there is.
    async fn snapshots(&self) -> Result<Vec<ImageId>, DriverError> {
        Ok(Vec::new())
    }

    /// Where this machine has what a snapshot holds over the layers of its image.
    async fn snapshot_tree(&self, _: &ImageId) -> Result<SnapshotTree, DriverError> {
        self.check_copy()?;
        Err(DriverError::Unsupported(
            "snapshots cannot be read here".to_owned(),
        ))
    }

    /// Disks that began with it stay as they are. Removing what does not exist succeeds.
    async fn remove_snapshot(&self, _: &ImageId) -> Result<(), DriverError> {
        Ok(())
    }

    /// Links a running sandbox as the mode says, whatever it was linked to before. In the mode
    /// `policy`, and in no other, the answer is its gate; an earlier one gets nothing more. A boot
    /// leaves a sandbox with that mode without a gate, and so does the end of the process that had
    /// it: nothing comes out until this is called.
    async fn set_network(
        &self,
        id: &SandboxId,
        mode: NetworkMode,
    ) -> Result<Option<Gate>, DriverError> {
        let _ = (id, mode);
        Err(DriverError::Unsupported(
            "networks cannot be changed here".to_owned(),
        ))
    }

    /// What /etc/resolv.conf says in that mode.
    fn resolver(&self, _: NetworkMode) -> String {
        String::new()
    }

    async fn destroy(&self, id: &SandboxId) -> Result<(), DriverError>;

    /// What the sandbox uses now; all zero when it is not running.
    async fn gauge(&self, id: &SandboxId) -> Result<Gauge, DriverError>;

    /// Microseconds of CPU since its boot; `None` where that cannot be read (any more).
    fn cpu_used_us(&self, id: &SandboxId) -> Option<u64>;

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
    /// The disk that it was to begin with could not be made.
    #[error("no disk for it: {0}")]
    Disk(String),
    /// A step of the set-up failed; nothing is left behind.
    #[error("sandbox set-up failed at {step}")]
    Step {
        step: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the guest did not answer")]
    Guest(#[from] crate::guest::GuestError),
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
