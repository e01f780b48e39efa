//! What a running sandbox is linked to, and changing that.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pinfold_model::{NetworkMode, SandboxId};

use super::netns::{self, on_own_thread};
use super::record::Record;
use super::slots::{Slot, Slots};
use super::{Inner, gate, step, uplink};
use crate::driver::{DriverError, Gate};

impl Inner {
    pub(super) async fn set_network(
        self: &Arc<Self>,
        id: &SandboxId,
        mode: NetworkMode,
    ) -> Result<Option<Gate>, DriverError> {
        if self.rootless {
            return match mode {
                NetworkMode::None => Ok(None),
                NetworkMode::Open | NetworkMode::Policy => {
                    Err(DriverError::Unsupported(needs_root(mode)))
                }
            };
        }
        let (this, id) = (Arc::clone(self), id.clone());
        let set = tokio::task::spawn_blocking(move || this.relink(&id, mode)).await;
        match set.map_err(io::Error::other).and_then(|inner| inner) {
            Ok(set) => Ok(set),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(DriverError::Unsupported(error.to_string()))
            }
            Err(error) => Err(step("link the network")(error)),
        }
    }

    /// Takes away what the mode does not have before it makes what it has. Each step can be done
    /// again, whichever of them was the last one of an earlier try.
    fn relink(&self, id: &SandboxId, mode: NetworkMode) -> io::Result<Option<Gate>> {
        let directory = self.directory(id);
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the sandbox does not run");
        let process = self.process(id)?.ok_or_else(gone)?;
        let record = Record::read(&directory)?.ok_or_else(gone)?;
        let slot = record.slot.and_then(Slots::from_number).ok_or_else(gone)?;
        if mode != NetworkMode::Policy {
            gate::remove(&process)?;
        }
        match (mode, record.link) {
            (NetworkMode::Open, true) | (NetworkMode::None | NetworkMode::Policy, false) => {}
            (NetworkMode::Open, false) => {
                Record {
                    link: true,
                    ..record
                }
                .write(&directory)?;
                self.plug(&process, slot)?;
            }
            (NetworkMode::None | NetworkMode::Policy, true) => {
                uplink::unplug(slot)?;
                Record {
                    link: false,
                    ..record
                }
                .write(&directory)?;
            }
        }
        match mode {
            NetworkMode::Policy => gate::open(&process).map(Some),
            NetworkMode::None | NetworkMode::Open => Ok(None),
        }
    }

    fn plug(&self, process: &OwnedFd, slot: Slot) -> io::Result<()> {
        let net = on_own_thread(|| {
            netns::enter(process)?;
            netns::current()
        })?;
        // What an earlier try has made, perhaps not to its end.
        uplink::unplug(slot)?;
        self.uplink.plug(&net, slot)
    }
}

/// Why an ordinary user cannot have it.
pub(super) fn needs_root(mode: NetworkMode) -> String {
    format!(
        "network {:?} needs root; without it only network \"none\" is available",
        mode.as_str()
    )
}
