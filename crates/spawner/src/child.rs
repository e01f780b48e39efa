//! The half of a boot that the sandbox does itself, on its way to becoming its guest.
//!
//! It begins with this machine's rights and ends with those of the guest; each step only takes
//! away. It shares no memory with its parent (what was there at the fork is its own copy) and reports a
//! failure through its socket. There is no other program to execute at the end: what the guest does is
//! part of this one (ADR 23).

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use pinfold_guest::Sockets;
use pinfold_proto::spawn::Boot;
use pinfold_sys::process::close_all_but;
use pinfold_sys::{datagram, namespace, seccomp, signal};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags};

use crate::setup::{Handed, Shared};
use crate::step::{Failed, Step};
use crate::view;

/// What the guest may do inside its own user namespace; commands get less (the guest drops the
/// first of these for them). No CAP_SYS_ADMIN: nothing inside can mount. No CAP_NET_*: the network
/// namespace is not the sandbox's own anyway.
const GUEST_CAPABILITIES: [CapabilitySet; 12] = [
    // For finding a command's daemons by their environment, and never for commands.
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::SETGID,
    CapabilitySet::SETUID,
    CapabilitySet::SETPCAP,
    CapabilitySet::SETFCAP,
    CapabilitySet::NET_BIND_SERVICE,
    CapabilitySet::SYS_CHROOT,
];

/// Number of the last capability this program knows (capability.h).
const LAST_CAPABILITY: u32 = 40;

/// As `/proc` names it.
const NAME: &CStr = c"pinfold-guest";

pub(crate) fn run(shared: &Shared, request: &Boot, handed: &Handed, link: OwnedFd) -> ! {
    match become_guest(shared, request, handed, &link) {
        Ok(sockets) => {
            // Its end is the news that nothing failed.
            drop(link);
            namespace::exit_now(i32::from(
                pinfold_guest::serve(shared.single, shared.sharing, sockets).is_err(),
            ))
        }
        Err(failed) => {
            // If even this does not get through, the parent sees the end without a report.
            let _ = datagram::send(&link, &failed.to_bytes(), &[]);
            namespace::exit_now(1)
        }
    }
}

fn become_guest(
    shared: &Shared,
    request: &Boot,
    handed: &Handed,
    link: &OwnedFd,
) -> Result<Sockets, Failed> {
    join_cgroups(handed)?;
    let mut buffer = [0; 8];
    let (len, mounts) = datagram::receive(link, &mut buffer).step("wait for mounts")?;
    if len == 0 {
        return Err(std::io::Error::from(rustix::io::Errno::PIPE)).step("wait for mounts");
    }
    namespace::unshare(shared.single, UnshareFlags::NEWCGROUP).step("unshare cgroup")?;
    become_root(shared)?;
    if shared.rootless || !request.net {
        pinfold_sys::loopback::up().step("bring up loopback")?;
    }
    if shared.rootless {
        view::assemble_rootless(request)?;
    } else {
        view::assemble(request, mounts)?;
    }
    rustix::system::sethostname(request.hostname.as_bytes()).step("set host name")?;
    limit()?;
    drop_capabilities()?;
    close_up(shared, handed, link)
}

/// cgroup v1: a process moves by writing itself into each controller. Before the ids change, since
/// the files belong to this machine's root.
fn join_cgroups(handed: &Handed) -> Result<(), Failed> {
    for file in &handed.join {
        rustix::io::write(file, b"0").step("join cgroup")?;
    }
    Ok(())
}

fn become_root(shared: &Shared) -> Result<(), Failed> {
    if !shared.rootless {
        rustix::thread::set_thread_groups(&[]).step("drop groups")?;
    }
    let gid = Gid::ROOT;
    rustix::thread::set_thread_res_gid(gid, gid, gid).step("set gid")?;
    let uid = Uid::ROOT;
    rustix::thread::set_thread_res_uid(uid, uid, uid).step("set uid")
}

/// No core dumps: a limit of 1 also keeps the host's core pattern program from being started for
/// them (core(5)), which 0 does not.
fn limit() -> Result<(), Failed> {
    let one = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    rustix::process::setrlimit(Resource::Core, one).step("limit core")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::setsid().map(drop).step("new session")
}

fn drop_capabilities() -> Result<(), Failed> {
    let keep = GUEST_CAPABILITIES
        .iter()
        .fold(CapabilitySet::empty(), |all, one| all | *one);
    for number in 0..=LAST_CAPABILITY {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(one) {
            match rustix::thread::remove_capability_from_bounding_set(one) {
                // A kernel that does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => return Err(errno).step("drop bounding set"),
            }
        }
    }
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).step("set capabilities")
}

/// The last step: no descriptor of this machine's stays open but the guest's two, and the filter is in
/// force.
fn close_up(shared: &Shared, handed: &Handed, link: &OwnedFd) -> Result<Sockets, Failed> {
    signal::default_children();
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    stdio_to_null()?;
    let own = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let sockets = Sockets {
        listen: own(&handed.listen).step("take the listener")?,
        first_link: own(&handed.link).step("take the link")?,
    };
    // Whatever owns the others in this copy of the spawner's memory is never used again.
    let kept = [
        sockets.listen.as_fd(),
        sockets.first_link.as_fd(),
        link.as_fd(),
    ];
    close_all_but(&kept).step("close descriptors")?;
    if !shared.seccomp.is_empty() {
        seccomp::install(&shared.seccomp).step("install seccomp filter")?;
    }
    rustix::thread::set_name(NAME).step("set name")?;
    Ok(sockets)
}

/// The guest gets no descriptor of this machine's but its two sockets.
fn stdio_to_null() -> Result<(), Failed> {
    use rustix::fs::OFlags;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step("open /dev/null")?;
    for number in 0..=2 {
        namespace::place_descriptor(&null, number).step("place /dev/null")?;
    }
    Ok(())
}
