//! Ending: stopping, freezing, destroying, and removing what is left.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pinfold_model::SandboxId;
use pinfold_sys::namespace::mounts_of;

use super::record::Record;
use super::slots::Slots;
use super::{Inner, process, step, teardown, uplink};
use crate::driver::DriverError;

impl Inner {
    /// Returns when no process of the sandbox is left.
    pub(super) async fn kill(&self, id: &SandboxId) -> io::Result<()> {
        if let Some(pidfd) = self.process(id)? {
            process::kill(&pidfd)?;
            // A frozen process takes its death when it thaws.
            let _ = self.cgroups.set_frozen(id.as_str(), false);
            // Every other process of the sandbox has ended before it.
            process::ended(&pidfd).await?;
            self.forget(id);
            return Ok(());
        }
        // A boot that was cut short between clone and record leaves a process nobody knows.
        for pid in self.cgroups.processes(id.as_str())? {
            process::kill_by_number(pid).await?;
        }
        // Without cgroups its socket gives it away.
        if let Some(pidfd) = process::listening(&self.directory(id))? {
            process::kill(&pidfd)?;
            process::ended(&pidfd).await?;
        }
        self.forget(id);
        Ok(())
    }

    /// The sandbox's mounts, where the kernel hands them out: while they are held, its last process does not
    /// wait for them to be taken apart.
    pub(super) fn mounts(&self, id: &SandboxId) -> Option<OwnedFd> {
        let pidfd = self.process(id).ok()??;
        mounts_of(pidfd).ok()
    }

    /// `mounts` are let go of before anything is removed.
    pub(super) fn clean_behind(self: &Arc<Self>, id: &SandboxId, mounts: Option<OwnedFd>) {
        let (this, sandbox) = (Arc::clone(self), id.clone());
        self.teardown.run(id, move || {
            drop(mounts);
            this.remove(&sandbox)
        });
    }

    /// Removes everything of a sandbox that has no process any more. The directory goes last: as
    /// long as it is there, what is left can be found.
    fn remove(&self, id: &SandboxId) -> io::Result<()> {
        let directory = self.directory(id);
        teardown::remove_cgroups(&self.cgroups, id.as_str())?;
        self.disks.remove(id.as_str())?;
        let record = Record::read(&directory)?;
        if record.is_none() {
            self.slots.release_of(&directory)?;
        }
        let slot = record.as_ref().and_then(|record| record.slot);
        if let Some(slot) = slot.and_then(Slots::from_number) {
            if record.is_some_and(|record| record.link) && self.slots.is_of(slot, &directory) {
                uplink::unplug(slot)?;
            }
            self.slots.release(slot, &directory)?;
        }
        self.spares.remove(&directory)
    }

    pub(super) fn check_stop(&self) -> Result<(), DriverError> {
        if self.disks.keeps() {
            return Ok(());
        }
        Err(DriverError::Unsupported(
            "disks are kept in memory on this host, so a sandbox cannot be stopped and keep its \
             disk; suspend it instead"
                .to_owned(),
        ))
    }

    /// Ends the processes and forgets them, and takes their link away, whose address is theirs as
    /// long as it is there; disk and slot stay.
    pub(super) async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.check_stop()?;
        self.kill(id)
            .await
            .map_err(step("end the sandbox's processes"))?;
        let directory = self.directory(id);
        let mut linked = None;
        if let Some(record) = Record::read(&directory).map_err(step("read the record"))? {
            linked = record.slot.filter(|_| record.link);
            let record = Record {
                process: None,
                ..record
            };
            record.write(&directory).map_err(step("record the stop"))?;
        }
        let (cgroups, name) = (self.cgroups.clone(), id.as_str().to_owned());
        let slots = self.slots.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let linked = linked.and_then(Slots::from_number);
            // A record outlives a reboot and the claim of its slot does not.
            let linked = linked.filter(|slot| slots.is_of(*slot, &directory));
            let unplugged = linked.map_or(Ok(()), uplink::unplug);
            teardown::remove_cgroups(&cgroups, &name).and(unplugged)
        });
        removed
            .await
            .map_err(io::Error::other)
            .and_then(|inner| inner)
            .map_err(step("remove its link and cgroups"))
    }

    pub(super) async fn set_frozen(&self, id: &SandboxId, frozen: bool) -> Result<(), DriverError> {
        let (cgroups, name) = (self.cgroups.clone(), id.as_str().to_owned());
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
