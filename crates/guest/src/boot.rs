//! What the guest does before it listens: makes itself safe.

use std::io;
use std::os::fd::OwnedFd;

use pinfold_sys::process::{SingleThreaded, child_signals, reset_signals};
use pinfold_sys::spawn::Sharing;
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::rand::GetRandomFlags;

use crate::Sockets;

/// Hosts that may wait to be accepted.
const BACKLOG: i32 = 8;

pub(crate) struct Boot {
    pub(crate) listen: OwnedFd,
    pub(crate) first_link: OwnedFd,
    pub(crate) child_signals: OwnedFd,
    pub(crate) single: SingleThreaded,
    pub(crate) sharing: Sharing,
    pub(crate) boot_id: u64,
    /// Descriptors this process may open.
    pub(crate) files_max: u64,
}

pub(crate) fn prepare(
    single: SingleThreaded,
    sharing: Sharing,
    sockets: Sockets,
) -> io::Result<Boot> {
    if std::process::id() != 1 {
        return Err(io::Error::other("runs as PID 1 of a sandbox only"));
    }
    // Without this a tenant's root could look into this process through /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Sockets { listen, first_link } = sockets;
    nonblocking(&listen)?;
    rustix::net::listen(&listen, BACKLOG)?;
    reset_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let mut boot_id = [0; 8];
    rustix::rand::getrandom(&mut boot_id, GetRandomFlags::empty())?;
    Ok(Boot {
        listen,
        first_link,
        child_signals: child_signals()?,
        single,
        sharing,
        boot_id: u64::from_ne_bytes(boot_id),
        files_max: raise_file_limit(),
    })
}

pub(crate) fn nonblocking(fd: &OwnedFd) -> rustix::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}

/// Up to the hard limit, or as far as it goes.
fn raise_file_limit() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}
