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

/// Serves until the sandbox is to end.
///
/// # Errors
/// When this is no PID 1, or was not started with its two sockets.
pub fn run() -> std::io::Result<()> {
    let boot = boot::prepare()?;
    agent::Agent::new(boot)?.serve()
}
