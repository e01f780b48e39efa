//! Becoming a user: ids, groups and capabilities.

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Capabilities are numbered below this; the kernel knows 41 today.
const CAPABILITIES_END: u32 = 64;

/// A user ready to be taken on: everything is prepared, so that [`Identity::assume`] may run
/// between fork and exec.
#[derive(Debug)]
pub struct Identity {
    /// `None`: as it is.
    pub uid: Option<Uid>,
    /// `None`: as it is.
    pub gid: Option<Gid>,
    /// `None`: as they are.
    pub groups: Option<Vec<Gid>>,
    /// Taken out of the bounding set.
    pub surplus: CapabilitySet,
    pub kept: CapabilitySet,
}

impl Identity {
    /// Makes this process that user, for good. Allocates nothing.
    pub fn assume(&self) -> rustix::io::Result<()> {
        for one in singles(self.surplus) {
            match rustix::thread::remove_capability_from_bounding_set(one) {
                // Without CAP_SETPCAP there is nothing that could come back either.
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        if let Some(groups) = &self.groups {
            rustix::thread::set_thread_groups(groups)?;
        }
        if let Some(gid) = self.gid {
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        }
        if let Some(uid) = self.uid {
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        let sets = CapabilitySets {
            effective: self.kept,
            permitted: self.kept,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets)
    }
}

/// Like `iter`, also for capabilities that this build has no name for.
fn singles(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    (0..CAPABILITIES_END)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .filter(move |one| set.contains(*one))
}
