//! The namespace driver: sandboxes as processes of this kernel.
//!
//! One directory a sandbox (`DIRECTORY/ID`: the guest's socket and a record of the boot), a slot of
//! the machine (its range of ids), a cgroup in each hierarchy, a network namespace. The spawner
//! assembles them; this side prepares what it needs, remembers what has to be undone, and undoes it.
//!
//! ```text
//! boot:    directory -> slot -> record -> cgroups, sockets, network -> spawner -> record -> guest
//! destroy: kill, wait for the last process | behind it: network, cgroups, slot, directory
//! ```
//! Each step can be the last one before this process dies: the directory exists first and goes last,
//! so that the next server's survey finds whatever is left.

mod boot;
mod cgroup;
mod copy;
mod disk;
mod embedded;
mod end;
mod etc;
mod gate;
mod hold;
mod links;
mod netns;
mod network;
mod nft;
mod prepare;
mod process;
mod record;
mod report;
mod seccomp;
mod slots;
mod spare;
mod spawner;
mod subnet;
mod teardown;
mod uplink;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pinfold_model::usage::Gauge;
use pinfold_model::{ImageId, Isolation, NetworkMode, Resources, SandboxId};
use pinfold_proto::spawn::Setup;

use crate::driver::{
    BootError, BootSpec, Driver, DriverError, Gate, Moment, Remains, SnapshotTree,
};
use crate::guest::{Guest, GuestError};
use cgroup::Cgroups;
pub use disk::Disks;
use process::Process;
use record::Record;
use slots::Slots;
use spawner::{Refused, Spawner};
pub use subnet::Subnet;

#[derive(Debug, Clone)]
pub struct Config {
    /// Sandboxes' own directories are made here; private to this server.
    pub directory: PathBuf,
    /// What all servers on this machine share; claims of id ranges.
    pub machine_directory: PathBuf,
    /// Keeps this server's cgroups apart from others'; letters, digits and `-`.
    pub instance: String,
    pub disks: Disks,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct NamespaceDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    rootless: bool,
    cgroups: Cgroups,
    slots: Slots,
    spares: spare::Spares,
    disks: disk::Store,
    spawner: Spawner,
    networks: Option<netns::Pool>,
    /// Guests' processes by sandbox, as far as this process has seen them.
    processes: Mutex<HashMap<SandboxId, Arc<OwnedFd>>>,
    uplink: uplink::Uplink,
    teardown: teardown::Teardown,
}

impl NamespaceDriver {
    /// Starts the spawner and the pools. Works as root and, with less isolation (see
    /// [`Driver::isolation`]), as an ordinary user. Blocks for some milliseconds; needs a tokio
    /// runtime.
    pub fn open(config: Config) -> Result<Self, DriverError> {
        Self::open_on(config, Subnet::default())
    }

    /// The same, with other addresses for sandboxes that have a network.
    pub fn open_on(config: Config, subnet: Subnet) -> Result<Self, DriverError> {
        let rootless = !rustix::process::geteuid().is_root();
        let scratch = config.directory.join(".spawn");
        private_directory(&scratch).map_err(step("make the sandboxes' directory"))?;
        let setup = Setup {
            scratch: text(&scratch)?,
            seccomp: seccomp::filter(),
            rootless,
        };
        let cgroups = if rootless {
            Cgroups::none()
        } else {
            Cgroups::open(&config.instance)
        };
        let slots = Slots::open(config.machine_directory.join("slots"))
            .map_err(step("open the machine's slots"))?;
        let wanted = if rootless {
            Disks::Memory
        } else {
            config.disks
        };
        let disks = disk::Store::open(wanted, &config.directory);
        let hold = hold::take(&scratch).map_err(step("take the sandboxes' directory"))?;
        let spares =
            spare::Spares::open(&config.directory).map_err(step("remove unused directories"))?;
        cgroups
            .remove_ahead()
            .map_err(step("remove unused cgroups"))?;
        if !rootless {
            keep_slots(&slots, &config.directory).map_err(step("keep the sandboxes' slots"))?;
        }
        let spawner = Spawner::start(&setup, &hold)
            .map_err(|Refused { step, source }| DriverError::Step { step, source })?;
        let networks = match rootless {
            true => None,
            false => Some(netns::Pool::start(&cgroups).map_err(step("start the network pool"))?),
        };
        let inner = Inner {
            config,
            rootless,
            cgroups,
            slots,
            spares,
            disks,
            spawner,
            networks,
            processes: Mutex::default(),
            uplink: uplink::Uplink::new(subnet),
            teardown: teardown::Teardown::start().map_err(step("start the threads that remove"))?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

/// Claims again what the sandboxes here have: a reboot ends claims, and no new sandbox may take the
/// ids of one that is stopped.
fn keep_slots(slots: &Slots, sandboxes: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(sandboxes)? {
        let directory = entry?.path();
        let record = Record::read(&directory).ok().flatten();
        let slot = record.and_then(|record| record.slot);
        if let Some(slot) = slot.and_then(Slots::from_number)
            && !slots.keep(slot, &directory)?
        {
            tracing::warn!(directory = %directory.display(), "another sandbox has its slot");
        }
    }
    Ok(())
}

/// Also where nothing was booted, or a step before that failed.
impl Drop for Inner {
    fn drop(&mut self) {
        self.disks.close();
        drop(self.networks.take());
        self.spares.close();
        self.cgroups.remove_instance();
    }
}

impl Inner {
    fn directory(&self, id: &SandboxId) -> PathBuf {
        self.config.directory.join(id.as_str())
    }

    fn remember(&self, id: &SandboxId, pidfd: OwnedFd) {
        let mut processes = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        processes.insert(id.clone(), Arc::new(pidfd));
    }

    /// The guest's process, or `None` when there is none (any more).
    fn process(&self, id: &SandboxId) -> io::Result<Option<Arc<OwnedFd>>> {
        let known = self
            .processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned();
        if let Some(pidfd) = known {
            return Ok(Some(pidfd));
        }
        let Some(record) = Record::read(&self.directory(id))? else {
            return Ok(None);
        };
        let pidfd = record.process.map(Process::open).transpose()?.flatten();
        Ok(pidfd.map(Arc::new))
    }

    fn forget(&self, id: &SandboxId) {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }
}

#[async_trait]
impl Driver for NamespaceDriver {
    fn isolation(&self) -> Isolation {
        self.inner.isolation()
    }

    async fn boot(&self, spec: &BootSpec) -> Result<Guest, BootError> {
        self.inner.boot(spec).await
    }

    async fn attach(&self, id: &SandboxId) -> Result<Option<Guest>, DriverError> {
        let inner = &self.inner;
        let directory = inner.directory(id);
        let Some(record) = Record::read(&directory).map_err(step("read the record"))? else {
            return Ok(None);
        };
        let Some(process) = record.process else {
            return Ok(None);
        };
        let Some(pidfd) = process.open().map_err(step("find the process"))? else {
            return Ok(None);
        };
        let link = match process::connect(&directory) {
            Ok(link) => link,
            // The process is on its way out: its socket has gone before it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
            Err(source) => return Err(step("connect to the guest")(source)),
        };
        let pid = rustix::process::Pid::from_raw(process.pid);
        match Guest::connect(link, boot::configure(record.die_with_host), pid).await {
            Ok(guest) => {
                inner.remember(id, pidfd);
                Ok(Some(guest))
            }
            // So has whatever it had answered, and a link that it never took is reset.
            Err(GuestError::Lost | GuestError::Io(_)) if process::ends_soon(&pidfd).await => {
                Ok(None)
            }
            Err(error) => Err(DriverError::Guest(error)),
        }
    }

    async fn survey(&self) -> Result<Vec<Remains>, DriverError> {
        let inner = &self.inner;
        let mut found = BTreeMap::new();
        let entries = std::fs::read_dir(&inner.config.directory).map_err(step("list sandboxes"))?;
        for entry in entries {
            let name = entry.map_err(step("list sandboxes"))?.file_name();
            if let Some(id) = name
                .to_str()
                .and_then(|name| name.parse::<SandboxId>().ok())
            {
                let alive = alive(inner, &id).map_err(step("look at a sandbox"))?;
                found.insert(id, alive);
            }
        }
        for name in inner.cgroups.sandboxes().map_err(step("list cgroups"))? {
            if let Ok(id) = name.parse::<SandboxId>() {
                found.entry(id).or_insert(false);
            }
        }
        let going = inner.teardown.going();
        let remains = found.into_iter().filter(|(id, _)| !going.contains(id));
        Ok(remains.map(|(id, alive)| Remains { id, alive }).collect())
    }

    async fn freeze(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.inner.set_frozen(id, true).await
    }

    async fn thaw(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.inner.set_frozen(id, false).await
    }

    fn check_stop(&self) -> Result<(), DriverError> {
        self.inner.check_stop()
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.inner.stop(id).await
    }

    fn check_copy(&self) -> Result<(), DriverError> {
        self.inner.check_copy()
    }

    async fn snapshot(
        &self,
        id: &SandboxId,
        snapshot: &ImageId,
        moment: Moment,
        limits: &Resources,
    ) -> Result<(), DriverError> {
        self.inner.snapshot(id, snapshot, moment, limits).await
    }

    async fn fork(
        &self,
        id: &SandboxId,
        fork: &SandboxId,
        moment: Moment,
        limits: &Resources,
    ) -> Result<(), DriverError> {
        self.inner.fork(id, fork, moment, limits).await
    }

    async fn snapshots(&self) -> Result<Vec<ImageId>, DriverError> {
        self.inner.snapshots().await
    }

    async fn snapshot_tree(&self, snapshot: &ImageId) -> Result<SnapshotTree, DriverError> {
        self.inner.snapshot_tree(snapshot).await
    }

    async fn remove_snapshot(&self, snapshot: &ImageId) -> Result<(), DriverError> {
        self.inner.remove_snapshot(snapshot).await
    }

    async fn set_network(
        &self,
        id: &SandboxId,
        mode: NetworkMode,
    ) -> Result<Option<Gate>, DriverError> {
        self.inner.set_network(id, mode).await
    }

    fn resolver(&self, mode: NetworkMode) -> String {
        etc::resolver(mode)
    }

    async fn destroy(&self, id: &SandboxId) -> Result<(), DriverError> {
        let mounts = self.inner.mounts(id);
        self.inner
            .kill(id)
            .await
            .map_err(step("end the sandbox's processes"))?;
        self.inner.clean_behind(id, mounts);
        Ok(())
    }

    async fn gauge(&self, id: &SandboxId) -> Result<Gauge, DriverError> {
        Ok(self.inner.cgroups.gauge(id.as_str()))
    }

    fn cpu_used_us(&self, id: &SandboxId) -> Option<u64> {
        self.inner.cgroups.cpu_used_us(id.as_str())
    }

    async fn settle(&self) {
        self.inner.teardown.settle().await;
        if let Some(networks) = &self.inner.networks {
            networks.close();
        }
        self.inner.spares.close();
        self.inner.cgroups.remove_instance();
        self.inner.disks.close();
    }
}

fn alive(inner: &Inner, id: &SandboxId) -> io::Result<bool> {
    let Some(record) = Record::read(&inner.directory(id))? else {
        return Ok(false);
    };
    Ok(record
        .process
        .map(Process::open)
        .transpose()?
        .flatten()
        .is_some())
}

fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn text(path: &Path) -> Result<String, DriverError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        DriverError::Unsupported("the data directory's path must be valid UTF-8".to_owned())
    })
}

fn step(step: &str) -> impl FnOnce(io::Error) -> DriverError {
    move |source| DriverError::Step {
        step: step.to_owned(),
        source,
    }
}

fn boot_step(step: &str) -> impl FnOnce(io::Error) -> BootError {
    move |source| BootError::Step {
        step: step.to_owned(),
        source,
    }
}
