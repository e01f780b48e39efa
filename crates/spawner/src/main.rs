//! `pinfold-spawner`: sets sandboxes up.
//!
//! The one program that clones into namespaces and mounts, single-threaded and small, because a
//! fork costs what the forking process is big. It serves its server over one socket, one request
//! at a time, and ends with it; the guests it made live on.
//!
//! It trusts its server and nobody else: no byte of a sandbox ever reaches it. What happens with a
//! sandbox's own rights happens in [`child`], after the switch into its user namespace; what needs
//! this machine's root happens in [`privileged`] beside it.

mod account;
mod child;
mod privileged;
mod setup;
mod step;
mod view;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use pinfold_proto::spawn::{Boot, Outcome, SPAWNER_LINK_FD, Setup};
use pinfold_proto::transport;
use pinfold_sys::{datagram, namespace};

use crate::step::{Failed, Step};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    let link = namespace::inherited(SPAWNER_LINK_FD)?;
    let mut buffer = vec![0; transport::BUFFER_BYTES];
    let Some((request, fds)) = transport::receive::<Setup>(&link, &mut buffer)? else {
        return Ok(());
    };
    let shared = match setup::prepare(request, fds) {
        Ok(shared) => {
            transport::send(&link, &Outcome::default(), &[])?;
            shared
        }
        Err(failed) => return transport::send(&link, &outcome(&failed), &[]),
    };
    while let Some((request, fds)) = transport::receive::<Boot>(&link, &mut buffer)? {
        // A request outlives the server that sent it; nobody waits for this sandbox any more.
        if datagram::is_abandoned(&link)? {
            return Ok(());
        }
        match boot(&shared, &request, fds) {
            Ok((pid, pidfd)) => tell(&link, pid, &pidfd)?,
            Err(failed) => transport::send(&link, &outcome(&failed), &[])?,
        }
    }
    Ok(())
}

/// A guest that nobody has heard of must not live: the next server would boot its sandbox again.
fn tell(link: &OwnedFd, pid: u32, pidfd: &OwnedFd) -> std::io::Result<()> {
    let good = Outcome {
        pid,
        ..Outcome::default()
    };
    transport::send(link, &good, &[pidfd.as_fd()]).inspect_err(|_| {
        // One that has ended by itself is as good.
        let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
    })
}

fn outcome(failed: &Failed) -> Outcome {
    Outcome {
        pid: 0,
        step: failed.step.clone(),
        errno: failed.errno,
    }
}

fn boot(
    shared: &setup::Shared,
    request: &Boot,
    fds: Vec<OwnedFd>,
) -> Result<(u32, OwnedFd), Failed> {
    let handed = setup::Handed::sort(shared, request, fds).step("descriptors")?;
    privileged::boot(shared, request, &handed)
}
