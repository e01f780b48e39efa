//! Making processes in new namespaces, and mounts that carry another user namespace's ids.

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bitflags::bitflags;

use crate::process::SingleThreaded;

bitflags! {
    /// Namespaces a new process gets (clone(2), `CLONE_NEW*`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Namespaces: u64 {
        const MOUNT = libc::CLONE_NEWNS as u64;
        const CGROUP = libc::CLONE_NEWCGROUP as u64;
        const UTS = libc::CLONE_NEWUTS as u64;
        const IPC = libc::CLONE_NEWIPC as u64;
        const USER = libc::CLONE_NEWUSER as u64;
        const PID = libc::CLONE_NEWPID as u64;
        const NET = libc::CLONE_NEWNET as u64;
    }
}

/// Which side of a [`clone_process`] returned.
#[derive(Debug)]
pub enum Cloned {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// `struct clone_args` of linux/sched.h, first version that knows cgroups (5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(size_of::<CloneArgs>() == 88);

/// Forks into new namespaces, and on cgroup v2 straight into a cgroup (its directory's descriptor),
/// which spares the slow move afterwards.
///
/// The child of a process with several threads may call next to nothing, and callers of this want to do a
/// lot: hence the proof, which holds for the child too.
pub fn clone_process(
    _: SingleThreaded,
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let mut pidfd: c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces.bits() | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        // CLONE_INTO_CGROUP does not fit libc's int constant.
        args.flags |= 0x2_0000_0000;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a live, correctly laid out clone_args of the stated size; `pidfd` outlives
    // the call; no CLONE_VM is among the flags, so the child has its own copy of all memory and
    // goes on from here like after fork(2); the process has one thread (the proof), so no lock
    // of another thread can stay held in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: a successful CLONE_PIDFD stored a fresh descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent {
                pid: pid as i32,
                pidfd,
            })
        }
    }
}

/// Moves this process into new namespaces.
pub fn unshare(_: SingleThreaded, flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    unshare_thread(flags)
}

/// Moves this thread alone into new namespaces; others of the process stay where they are.
pub fn unshare_thread(flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    assert!(
        !flags.contains(rustix::thread::UnshareFlags::FILES),
        "not a namespace"
    );
    // SAFETY: what makes this unsafe is CLONE_FILES, which could take descriptors away from owners
    // on other threads; the assertion keeps it out, and namespaces alone change no memory.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// The mount namespace of the process behind a pidfd (Linux 6.11). As long as it is held, what is mounted
/// there is not taken apart.
pub fn mounts_of(pidfd: impl AsFd) -> io::Result<OwnedFd> {
    /// `PIDFD_GET_MNT_NAMESPACE` of linux/pidfd.h: `_IO(0xff, 3)`.
    const GET_MOUNT_NAMESPACE: libc::Ioctl = 0xff03;
    // SAFETY: the descriptor is open for the length of the call, which takes no argument.
    let fd = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), GET_MOUNT_NAMESPACE, 0_usize) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call returned a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const _: () = assert!(size_of::<MountAttr>() == 32);

bitflags! {
    /// Attributes of a mount (mount_setattr(2), `MOUNT_ATTR_*`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MountAttributes: u64 {
        const READ_ONLY = 0x1;
        const NO_SUID = 0x2;
        const NO_DEV = 0x4;
        const NO_EXEC = 0x8;
        const NO_SYMLINK_FOLLOW = 0x20_0000;
    }
}

/// Whether a change concerns one mount or also those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    One,
    Recursive,
}

/// Sets attributes on the mount behind `mount`, and with `ids` shows its files with the ids of
/// that user namespace. `ids` only works on a mount that is not attached anywhere yet.
pub fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttributes,
    ids: Option<BorrowedFd<'_>>,
    depth: Depth,
) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let mut attr = MountAttr {
        attr_set: set.bits(),
        ..MountAttr::default()
    };
    if let Some(ids) = ids {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = ids.as_raw_fd() as u64;
    }
    let mut flags = libc::AT_EMPTY_PATH;
    if depth == Depth::Recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a NUL-terminated static string; `attr` is a live mount_attr of the stated
    // size that the kernel only reads; both descriptors are borrowed for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags as c_long,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes `source` available as exactly the number `target`, inherited by exec.
pub fn place_descriptor(source: impl AsFd, target: i32) -> io::Result<()> {
    // SAFETY: dup2 takes any two numbers; whoever owned `target` before loses it, which is why this
    // is only called in a child on its way to a program or to being a guest, which uses none of its
    // descriptors any more.
    let result = unsafe { libc::dup2(source.as_fd().as_raw_fd(), target) };
    if result == target {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Ends a child of [`clone_process`] without running anything of this program's clean-up.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any status and does not return.
    unsafe { libc::_exit(code) }
}

/// Takes the descriptor of that number, which this process was started with.
///
/// # Panics
/// When it was taken before: a descriptor has one owner.
pub fn inherited(fd: i32) -> io::Result<OwnedFd> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let bit = 1u64 << u32::try_from(fd).expect("a small descriptor number");
    assert_eq!(
        TAKEN.fetch_or(bit, Ordering::SeqCst) & bit,
        0,
        "descriptor {fd} taken twice"
    );
    // SAFETY: fcntl takes any number and any flag; it changes this descriptor's flag alone.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (fcntl just succeeded), it was inherited, so no value of this
    // program owns it, and the table above makes sure that this is the only time it is wrapped.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_need_a_mount() {
        let file = tempfile::tempfile().expect("file");
        let result =
            set_mount_attributes(file.as_fd(), MountAttributes::READ_ONLY, None, Depth::One);
        assert!(result.is_err());
    }
}
