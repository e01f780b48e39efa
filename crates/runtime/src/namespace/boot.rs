//! Booting: from a specification to a running guest, or to nothing at all.

use std::path::Path;
use std::sync::Arc;

use pinfold_model::{NetworkMode, SandboxId};
use pinfold_sys::datagram;
use pinfold_sys::process::DEFAULT_PATH;

use super::network::needs_root;
use super::process::Process;
use super::record::Record;
use super::slots::Slot;
use super::spawner::Refused;
use super::{Inner, boot_step, step};
use crate::driver::{BootError, BootSpec};
use crate::guest::{Configure, Guest};

impl Inner {
    pub(super) async fn boot(self: &Arc<Self>, spec: &BootSpec) -> Result<Guest, BootError> {
        self.check(spec)?;
        self.teardown.over(&spec.id).await;
        let directory = self.directory(&spec.id);
        if directory.exists() {
            // What a boot that was cut short has left, and nobody knows by its record.
            let left = self.kill(&spec.id).await;
            left.map_err(boot_step("end an earlier boot"))?;
            let unrecorded = Record::read(&directory).is_ok_and(|record| record.is_none());
            if unrecorded && !self.rootless {
                let released = self.slots.release_of(&directory);
                released.map_err(boot_step("release an earlier boot's slot"))?;
            }
        } else {
            let made = self.spares.make(&directory);
            made.map_err(boot_step("make the sandbox's directory"))?;
        }
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
        if self.rootless && spec.network != NetworkMode::None {
            return Err(BootError::Unsupported(needs_root(spec.network)));
        }
        if spec.root.disk.is_some() && !self.disks.keeps() {
            return Err(BootError::Unsupported(
                "the image is a snapshot, which only a server whose disks are in a pool can use"
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
        // Its claim alone leads to the slot of a boot that is cut short; a link or a disk has to be
        // known of before it is made.
        if record.link || self.disks.keeps() {
            record
                .write(directory)
                .map_err(boot_step("record the boot"))?;
        }
        let (ours, theirs) = datagram::pair().map_err(boot_step("make the first link"))?;
        let config = Configure {
            workdir: spec.workdir.clone(),
            user: spec.user.clone(),
            ..configure(spec.die_with_host)
        };
        let made = async {
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
            Ok(rustix::process::Pid::from_raw(booted.pid))
        };
        Guest::connect_to_new(ours, config, made).await
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
            self.clean_behind(id, None);
        }
    }
}

pub(super) fn configure(die_with_host: bool) -> Configure {
    Configure {
        die_with_host,
        default_path: DEFAULT_PATH.to_owned(),
        ..Configure::default()
    }
}
