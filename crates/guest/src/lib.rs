//! PID 1 and agent of a sandbox.
//!
//! One thread and one epoll loop ([`agent`]) own everything: the links to hosts, the commands with
//! their pipes and terminals, and the reaping of all children. The loop never waits for anything
//! that processes of the sandbox control. File work, which can block and has to be done with a
//! user's rights, happens in forked [`worker`]s that answer the host themselves.
//!
//! What the tenant may do to this process: signal it (the kernel drops that for PID 1), make it
//! look at a large `/proc` (bounded), refuse it memory or processes (answered as a failure). It
//! cannot ptrace it, read its memory or its descriptors (not dumpable).

mod agent;
mod boot;
mod command;
mod dial;
mod failure;
mod files;
mod identity;
mod link;
mod poller;
mod terminal;
mod timers;
mod transfer;
mod tree;
mod usage;
mod users;
mod workdir;
mod worker;

use std::io;
use std::os::fd::OwnedFd;

use pinfold_proto::{GUEST_FIRST_LINK_FD, GUEST_LISTEN_FD};
use pinfold_sys::namespace::inherited;
use pinfold_sys::process::SingleThreaded;
use pinfold_sys::spawn::Sharing;

/// What a guest begins with.
#[derive(Debug)]
pub struct Sockets {
    /// Bound to its address, where hosts find it; not listening yet.
    pub listen: OwnedFd,
    /// To the host that boots it.
    pub first_link: OwnedFd,
}

impl Sockets {
    /// Those that a program of its own was started with, at [`GUEST_LISTEN_FD`] and
    /// [`GUEST_FIRST_LINK_FD`].
    ///
    /// # Errors
    /// When it was started without them.
    pub fn inherited() -> io::Result<Self> {
        Ok(Self {
            listen: inherited(GUEST_LISTEN_FD)?,
            first_link: inherited(GUEST_FIRST_LINK_FD)?,
        })
    }
}

/// Serves until the sandbox is to end. The process is the guest's alone from here on: it has one thread,
/// and no descriptor of anybody else.
///
/// # Errors
/// When this is no PID 1.
pub fn serve(single: SingleThreaded, sharing: Sharing, sockets: Sockets) -> io::Result<()> {
    let boot = boot::prepare(single, sharing, sockets)?;
    agent::Agent::new(boot)?.serve()
}
