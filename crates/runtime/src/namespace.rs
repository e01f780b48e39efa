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

mod cgroup;
mod disk;
mod embedded;
mod etc;
mod netns;
mod prepare;
mod process;
mod record;
mod seccomp;
mod slots;
mod spawner;
mod teardown;
mod uplink;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pinfold_model::isolation::Level;
use pinfold_model::usage::Gauge;
use pinfold_model::{Isolation, NetworkMode, SandboxId};
use pinfold_proto::spawn::Setup;
use pinfold_sys::datagram;

use crate::driver::{BootError, BootSpec, Driver, DriverError, Remains};
use crate::guest::{Configure, Guest};
use cgroup::Cgroups;
pub use disk::Disks;
use process::Process;
use record::Record;
use slots::{Slot, Slots};
use spawner::{Refused, Spawner};

/// PATH of commands that bring none; what Debian gives root.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
        let spawner = Spawner::start(&setup)
            .map_err(|Refused { step, source }| DriverError::Step { step, source })?;
        let networks = match rootless {
            true => None,
            false => Some(netns::Pool::start().map_err(step("start the network pool"))?),
        };
        let inner = Inner {
            config,
            rootless,
            cgroups,
            slots,
            disks,
            spawner,
            networks,
            processes: Mutex::default(),
            uplink: uplink::Uplink::default(),
            teardown: teardown::Teardown::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
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

    async fn boot(self: &Arc<Self>, spec: &BootSpec) -> Result<Guest, BootError> {
        self.check(spec)?;
        let directory = self.directory(&spec.id);
        private_directory(&directory).map_err(boot_step("make the sandbox's directory"))?;
        let stopped = self.disks.keeps() && Record::read(&directory).is_ok_and(|r| r.is_some());
        match self.boot_in(spec, &directory).await {
            Ok(guest) => Ok(guest),
            Err(error) => {
                self.undo(&spec.id, stopped).await;
                Err(error)
            }
        }
    }

    /// What this host cannot provide is refused before anything is made.
    fn check(&self, spec: &BootSpec) -> Result<(), BootError> {
        if self.rootless && spec.network == NetworkMode::Open {
            return Err(BootError::Unsupported(
                "network \"open\" needs root; without it only network \"none\" is available"
                    .to_owned(),
            ));
        }
        for layer in &spec.root.layers {
            // overlayfs takes its layers as one list with separators.
            if layer.to_string_lossy().contains([':', ',', '\\']) {
                return Err(BootError::BadImage(format!(
                    "the data directory's path must not hold ':', ',' or '\\': {}",
                    layer.display()
                )));
            }
        }
        Ok(())
    }

    async fn boot_in(&self, spec: &BootSpec, directory: &Path) -> Result<Guest, BootError> {
        let slot = self.slot(directory)?;
        let mut record = Record {
            slot: slot.map(Slot::number),
            process: None,
            die_with_host: spec.die_with_host,
            link: spec.network == NetworkMode::Open,
        };
        record
            .write(directory)
            .map_err(boot_step("record the boot"))?;
        let (ours, theirs) = datagram::pair().map_err(boot_step("make the first link"))?;
        let (boot, fds) = self.prepare(spec, directory, slot, theirs)?;
        let booted = self
            .spawner
            .boot(boot, fds)
            .await
            .map_err(|Refused { step, source }| BootError::Step { step, source })?;
        record.process =
            Some(Process::of(booted.pid).map_err(boot_step("look at the guest's process"))?);
        self.remember(&spec.id, booted.pidfd);
        record
            .write(directory)
            .map_err(boot_step("record the process"))?;
        let pid = rustix::process::Pid::from_raw(booted.pid);
        Guest::connect(ours, configure(spec.die_with_host), pid)
            .await
            .map_err(BootError::Guest)
    }

    /// After a boot that failed: a stopped sandbox is stopped again, a new one is gone.
    async fn undo(self: &Arc<Self>, id: &SandboxId, stopped: bool) {
        let result = match stopped {
            true => self.stop(id).await,
            false => self
                .kill(id)
                .await
                .map_err(step("end the sandbox's processes")),
        };
        if let Err(error) = result {
            tracing::warn!(sandbox = %id, %error, "a boot that failed could not be undone");
        }
        if !stopped {
            self.clean_behind(id);
        }
    }

    /// Returns when no process of the sandbox is left.
    async fn kill(&self, id: &SandboxId) -> io::Result<()> {
        if let Some(pidfd) = self.process(id)? {
            process::kill(&pidfd)?;
            // A frozen process takes its death when it thaws.
            let _ = self.cgroups.set_frozen(id.as_str(), false);
            process::ended(&pidfd).await?;
        }
        // A boot that was cut short between clone and record leaves a process nobody knows.
        for pid in self.cgroups.processes(id.as_str())? {
            process::kill_by_number(pid).await?;
        }
        self.forget(id);
        Ok(())
    }

    fn clean_behind(self: &Arc<Self>, id: &SandboxId) {
        let (this, sandbox) = (Arc::clone(self), id.clone());
        self.teardown.run(id, move || this.remove(&sandbox));
    }

    /// Removes everything of a sandbox that has no process any more. The directory goes last: as
    /// long as it is there, what is left can be found.
    fn remove(&self, id: &SandboxId) -> io::Result<()> {
        let directory = self.directory(id);
        teardown::remove_cgroups(&self.cgroups, id.as_str())?;
        self.disks.remove(id.as_str())?;
        let record = Record::read(&directory)?;
        let slot = record.as_ref().and_then(|record| record.slot);
        if let Some(slot) = slot.and_then(Slots::from_number) {
            if record.is_some_and(|record| record.link) {
                uplink::unplug(slot)?;
            }
            self.slots.release(slot, &directory)?;
        }
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn check_stop(&self) -> Result<(), DriverError> {
        if self.disks.keeps() {
            return Ok(());
        }
        Err(DriverError::Unsupported(
            "disks are kept in memory on this host, so a sandbox cannot be stopped and keep its \
             disk; suspend it instead"
                .to_owned(),
        ))
    }

    /// Ends the processes and forgets them; disk and slot stay.
    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.check_stop()?;
        self.kill(id)
            .await
            .map_err(step("end the sandbox's processes"))?;
        let directory = self.directory(id);
        if let Some(record) = Record::read(&directory).map_err(step("read the record"))? {
            let record = Record {
                process: None,
                ..record
            };
            record.write(&directory).map_err(step("record the stop"))?;
        }
        let (cgroups, name) = (self.cgroups.clone(), id.as_str().to_owned());
        let removed =
            tokio::task::spawn_blocking(move || teardown::remove_cgroups(&cgroups, &name)).await;
        removed
            .map_err(io::Error::other)
            .and_then(|inner| inner)
            .map_err(step("remove cgroups"))
    }
}

#[async_trait]
impl Driver for NamespaceDriver {
    fn isolation(&self) -> Isolation {
        let (mut enforced, mut weaker) = self.inner.cgroups.report();
        enforced.extend([
            "user_namespace",
            "mount_namespace",
            "pid_namespace",
            "ipc_namespace",
        ]);
        enforced.extend(["uts_namespace", "network_namespace", "cgroup_namespace"]);
        enforced.extend([
            "seccomp",
            "no_new_privs",
            "bounded_capabilities",
            "masked_proc",
        ]);
        enforced.push("disk_bound");
        if self.inner.rootless {
            weaker.push(
                "all sandboxes run with this user's one id: run as root for a range of ids each"
                    .to_owned(),
            );
            weaker.push(
                "no layer ids are mapped: every file of an image belongs to root inside".to_owned(),
            );
        } else {
            enforced.extend(["id_range_per_sandbox", "idmapped_layers"]);
        }
        weaker.extend(self.inner.disks.weaker());
        Isolation {
            level: Level::Namespace,
            enforced,
            weaker,
        }
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
        let guest = Guest::connect(link, configure(record.die_with_host), pid)
            .await
            .map_err(DriverError::Guest)?;
        inner.remember(id, pidfd);
        Ok(Some(guest))
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
        self.set_frozen(id, true).await
    }

    async fn thaw(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.set_frozen(id, false).await
    }

    fn check_stop(&self) -> Result<(), DriverError> {
        self.inner.check_stop()
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.inner.stop(id).await
    }

    async fn destroy(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.inner
            .kill(id)
            .await
            .map_err(step("end the sandbox's processes"))?;
        self.inner.clean_behind(id);
        Ok(())
    }

    async fn gauge(&self, id: &SandboxId) -> Result<Gauge, DriverError> {
        self.inner
            .cgroups
            .gauge(id.as_str())
            .map_err(step("read cgroups"))
    }

    async fn settle(&self) {
        self.inner.teardown.settle().await;
        self.inner.cgroups.remove_instance();
        self.inner.disks.close();
    }
}

impl NamespaceDriver {
    async fn set_frozen(&self, id: &SandboxId, frozen: bool) -> Result<(), DriverError> {
        let (cgroups, name) = (self.inner.cgroups.clone(), id.as_str().to_owned());
        let result = tokio::task::spawn_blocking(move || cgroups.set_frozen(&name, frozen)).await;
        match result.map_err(io::Error::other).and_then(|inner| inner) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(DriverError::Unsupported(
                    "this host offers no cgroup freezer, so sandboxes cannot be suspended"
                        .to_owned(),
                ))
            }
            other => other.map_err(step("set the freezer")),
        }
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

fn configure(die_with_host: bool) -> Configure {
    Configure {
        die_with_host,
        default_path: DEFAULT_PATH.to_owned(),
    }
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
