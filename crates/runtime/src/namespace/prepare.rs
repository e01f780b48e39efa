//! What a boot needs before the spawner is asked: everything this side makes and hands over.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use pinfold_model::NetworkMode;
use pinfold_model::sandbox::MountAccess;
use pinfold_proto::spawn::{Bind, Boot};

use super::netns::{Pool, Ready};
use super::record::Record;
use super::slots::{Slot, Slots};
use super::{Inner, boot_step, etc, process};
use crate::driver::{BootError, BootSpec};

impl Inner {
    /// The slot of a stopped sandbox, or a new one.
    pub(super) fn slot(&self, directory: &Path) -> Result<Option<Slot>, BootError> {
        if self.rootless {
            return Ok(None);
        }
        let record = Record::read(directory).map_err(boot_step("read the record"))?;
        let kept = record
            .and_then(|record| record.slot)
            .and_then(Slots::from_number);
        match kept {
            Some(slot) => match self.slots.keep(slot, directory) {
                Ok(true) => Ok(Some(slot)),
                Ok(false) => Err(boot_step("keep its slot")(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another sandbox has had it since this machine was started",
                ))),
                Err(error) => Err(boot_step("keep its slot")(error)),
            },
            None => self
                .slots
                .claim(directory)
                .map(Some)
                .map_err(boot_step("claim a slot")),
        }
    }

    /// Makes what the spawner gets as descriptors, in the order that `spawn::Boot` states.
    pub(super) fn prepare(
        &self,
        spec: &BootSpec,
        directory: &Path,
        slot: Option<Slot>,
        link: OwnedFd,
    ) -> Result<(Boot, Vec<OwnedFd>), BootError> {
        let name = spec.id.as_str();
        let (net, groups) = match self.surroundings()? {
            Some(ready) => (Some(ready.net), ready.groups),
            None => (None, None),
        };
        let entry = self
            .cgroups
            .create(name, &spec.resources, groups)
            .map_err(boot_step("make cgroups"))?;
        let listen = process::listener(directory).map_err(boot_step("make the guest's socket"))?;
        if let (Some(net), Some(slot)) = (&net, slot) {
            self.give_link(spec.network, net, slot)?;
        }
        let (disk, kept) = self
            .disks
            .make(name, &spec.resources, spec.root.disk.as_ref())
            .map_err(boot_step("make the disk"))?;
        let binds = binds(spec);
        let boot = Boot {
            hostname: spec.hostname.clone(),
            layers: spec
                .root
                .layers
                .iter()
                .map(|p| p.to_string_lossy().into_owned())
                .collect(),
            disk: Some(disk),
            files: etc::files(&spec.hostname, spec.network),
            id_base: slot.map(Slot::id_base).unwrap_or_default(),
            net: net.is_some(),
            cgroup: entry.directory.is_some(),
            join: u32::try_from(entry.join.len()).expect("a handful of controllers"),
            binds,
        };
        let mut fds = vec![listen, link];
        fds.extend(net);
        fds.extend(entry.directory);
        fds.extend(entry.join);
        if !self.rootless {
            for layer in &boot.layers {
                fds.push(detached(layer)?);
            }
            fds.extend(kept);
            for bind in &boot.binds {
                fds.push(detached(&bind.source)?);
            }
        }
        Ok((boot, fds))
    }

    fn surroundings(&self) -> Result<Option<Ready>, BootError> {
        let ready = self.networks.as_ref().map(Pool::take).transpose();
        ready.map_err(boot_step("make a network"))
    }

    fn give_link(&self, mode: NetworkMode, net: &OwnedFd, slot: Slot) -> Result<(), BootError> {
        if mode != NetworkMode::Open {
            return Ok(());
        }
        self.uplink
            .plug(net, slot)
            .map_err(|error| match error.kind() {
                io::ErrorKind::Unsupported => BootError::Unsupported(error.to_string()),
                _ => boot_step("link the network")(error),
            })
    }
}

/// The image's own binds come first, so that a caller's mount can lie inside one of them.
fn binds(spec: &BootSpec) -> Vec<Bind> {
    let of_image = spec.root.binds.iter().map(|(source, target)| Bind {
        source: source.to_string_lossy().into_owned(),
        target: target.to_string_lossy().into_owned(),
        writable: false,
    });
    let of_caller = spec.mounts.iter().map(|mount| Bind {
        source: mount.source.clone(),
        target: mount.target.clone(),
        writable: mount.access == MountAccess::ReadWrite,
    });
    of_image.chain(of_caller).collect()
}

/// A copy of the mount that shows `path`, attached nowhere.
fn detached(path: &str) -> Result<OwnedFd, BootError> {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
        .map_err(|errno| boot_step(&format!("open {path}"))(errno.into()))
}
