//! The sandbox's view of the file system, assembled in its own mount namespace.

use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::spawn::{Bind, Boot};
use pinfold_sys::namespace::{Depth, MountAttributes, set_mount_attributes};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, move_mount,
    open_tree, unmount,
};

use crate::setup::{DISK, ROOT};
use crate::step::{Failed, Step};

/// Files of /proc that tell about the host or steer it: hidden behind /dev/null.
const MASKED_FILES: [&str; 10] = [
    "kcore",
    "keys",
    "key-users",
    "timer_list",
    "sched_debug",
    "latency_stats",
    "interrupts",
    "softirqs",
    "sysrq-trigger",
    "kallsyms",
];

/// Directories of /proc of the same kind: hidden behind an empty directory.
const MASKED_DIRECTORIES: [&str; 9] = [
    "acpi",
    "asound",
    "bus",
    "driver",
    "dynamic_debug",
    "fs",
    "irq",
    // How busy the machine is, to the microsecond, and triggers on that for everybody.
    "pressure",
    "scsi",
];

/// All sandboxes and this machine share one number of terminals (kernel.pty.max, 4,096): none gets
/// at more than this many.
const PTS_OPTIONS: &std::ffi::CStr = c"newinstance,ptmxmode=0666,mode=0620,gid=0,max=128";

/// Attaches what the parent made: the overlay, /dev, then the binds in their order.
pub(crate) fn assemble(request: &Boot, mounts: Vec<OwnedFd>) -> Result<(), Failed> {
    let mut mounts = mounts.into_iter();
    let mut next = |what: &str| {
        mounts
            .next()
            .ok_or_else(|| std::io::Error::from(rustix::io::Errno::BADF))
            .step(what)
    };
    attach(&next("root")?, ROOT)?;
    enter(ROOT)?;
    make_points(request)?;
    attach(&next("dev")?, "dev")?;
    let empty = empty_directory()?;
    for bind in &request.binds {
        attach_inside(&next("bind")?, bind)?;
    }
    fill_dev()?;
    mount_proc(&empty)?;
    pivot()
}

/// The same by an ordinary user: the user namespace itself mounts everything.
pub(crate) fn assemble_rootless(request: &Boot) -> Result<(), Failed> {
    rootless_overlay(request)?;
    let binds = request
        .binds
        .iter()
        .map(open_bind)
        .collect::<Result<Vec<_>, _>>()?;
    enter(ROOT)?;
    make_points(request)?;
    rootless_dev()?;
    let empty = empty_directory()?;
    for (mount, bind) in binds.iter().zip(&request.binds) {
        attach_inside(mount, bind)?;
    }
    fill_dev()?;
    mount_proc(&empty)?;
    pivot()
}

fn attach(tree: &OwnedFd, at: &str) -> Result<(), Failed> {
    move_mount(
        tree.as_fd(),
        "",
        CWD,
        at,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .step(format!("attach {at}"))
}

fn enter(root: &str) -> Result<(), Failed> {
    rustix::process::chdir(root).step("enter root")
}

/// Mount points the image may lack. Relative to the new root, whose links could point anywhere:
/// nothing is followed out of it because every path is opened beneath it.
fn make_points(request: &Boot) -> Result<(), Failed> {
    for point in ["proc", "dev", "sys", "tmp"] {
        match rustix::fs::mkdir(point, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => real_directory(point)?,
            Err(errno) => return Err(errno).step(format!("make /{point}")),
        }
    }
    for bind in &request.binds {
        make_point(bind)?;
    }
    Ok(())
}

/// An image whose /proc or /dev is a link would have us mount somewhere else.
fn real_directory(point: &str) -> Result<(), Failed> {
    let step = || format!("use /{point} of the image");
    let stat = rustix::fs::statat(CWD, point, AtFlags::SYMLINK_NOFOLLOW).step(step())?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(());
    }
    Err(rustix::io::Errno::NOTDIR).step(step())
}

/// Walks to a bind's target beneath the new root, making what is missing. Links inside the image
/// resolve against the new root (RESOLVE_IN_ROOT), never against the host's.
fn make_point(bind: &Bind) -> Result<(), Failed> {
    let step = || format!("make mount point {}", bind.target);
    let is_dir = std::fs::metadata(&bind.source)
        .map(|m| m.is_dir())
        .unwrap_or(true);
    let parts: Vec<&str> = bind.target.split('/').filter(|p| !p.is_empty()).collect();
    let mut so_far = String::from(".");
    for (at, part) in parts.iter().enumerate() {
        let parent = open_beneath(&so_far).step(step())?;
        let last = at + 1 == parts.len();
        let made = if last && !is_dir {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY;
            rustix::fs::openat(&parent, *part, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(&parent, *part, Mode::from_raw_mode(0o755))
        };
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno).step(step()),
        }
        so_far = format!("{so_far}/{part}");
    }
    Ok(())
}

fn open_beneath(path: &str) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
}

fn attach_inside(tree: &OwnedFd, bind: &Bind) -> Result<(), Failed> {
    let step = || format!("attach {}", bind.target);
    let point = open_beneath(&bind.target).step(step())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree.as_fd(), "", point.as_fd(), "", flags).step(step())
}

fn fill_dev() -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", "dev/pts", "devpts", flags, PTS_OPTIONS).step("mount /dev/pts")?;
    let flags = flags | MountFlags::NODEV;
    mount("shm", "dev/shm", "tmpfs", flags, c"mode=1777,size=64m").step("mount /dev/shm")
}

/// A fresh proc with what concerns the host hidden, and all settings read-only.
fn mount_proc(empty: &OwnedFd) -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "proc", "proc", flags, c"").step("mount /proc")?;
    // No user namespaces inside: they would hand out capabilities again (seccomp says so too).
    let _ = std::fs::write("proc/sys/user/max_user_namespaces", "0");
    for file in MASKED_FILES {
        masked(mount_bind("dev/null", format!("proc/{file}")), file)?;
    }
    mask_directories(empty)?;
    mount_bind("proc/sys", "proc/sys").step("bind /proc/sys")?;
    let settings =
        open_tree(CWD, "proc/sys", OpenTreeFlags::OPEN_TREE_CLOEXEC).step("open /proc/sys")?;
    set_mount_attributes(
        settings.as_fd(),
        MountAttributes::READ_ONLY,
        None,
        Depth::One,
    )
    .step("make /proc/sys read-only")
}

/// The directory that /dev keeps for terminals, as long as nothing is mounted there, which no bind can be before.
fn empty_directory() -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let empty = open_tree(CWD, "dev/pts", flags).step("open an empty directory")?;
    let set = MountAttributes::READ_ONLY
        | MountAttributes::NO_SUID
        | MountAttributes::NO_DEV
        | MountAttributes::NO_EXEC;
    set_mount_attributes(empty.as_fd(), set, None, Depth::One)
        .step("make the empty directory read-only")?;
    Ok(empty)
}

/// Hides them all behind one directory: a file system of its own for each would cost every sandbox six of them.
fn mask_directories(empty: &OwnedFd) -> Result<(), Failed> {
    let mut first: Option<String> = None;
    for directory in MASKED_DIRECTORIES {
        let path = format!("proc/{directory}");
        let result = match &first {
            // A copy has the attributes of what it is made from.
            Some(first) => mount_bind(first, &path),
            None => {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(empty.as_fd(), "", CWD, &path, flags)
            }
        };
        if result.is_ok() && first.is_none() {
            first = Some(path);
        }
        masked(result, directory)?;
    }
    Ok(())
}

/// Not every kernel has every file.
fn masked(result: rustix::io::Result<()>, what: &str) -> Result<(), Failed> {
    match result {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).step(format!("mask /proc/{what}")),
    }
}

/// The new root takes the old one's place, and the old one goes.
fn pivot() -> Result<(), Failed> {
    rustix::process::pivot_root(".", ".").step("pivot root")?;
    unmount(".", UnmountFlags::DETACH).step("detach old root")?;
    rustix::process::chdir("/").step("enter /")
}

fn rootless_overlay(request: &Boot) -> Result<(), Failed> {
    let disk = request.disk.unwrap_or_default();
    let size = format!(
        "mode=0755,size={},nr_inodes={}",
        disk.size_bytes, disk.inodes
    );
    let size = std::ffi::CString::new(size)
        .map_err(std::io::Error::other)
        .step("disk options")?;
    mount(
        "tmpfs",
        DISK,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        &*size,
    )
    .step("mount disk")?;
    let upper = format!("{DISK}/upper");
    for directory in [upper.clone(), format!("{DISK}/work")] {
        std::fs::create_dir(directory).step("make upper")?;
    }
    for file in &request.files {
        if let Some((parent, _)) = file.path.rsplit_once('/') {
            std::fs::create_dir_all(format!("{upper}/{parent}")).step("make directory")?;
        }
        std::fs::write(format!("{upper}/{}", file.path), &file.content).step("write file")?;
    }
    let lower: Vec<&str> = request.layers.iter().rev().map(String::as_str).collect();
    let options = format!(
        "lowerdir={},upperdir={upper},workdir={}/work,userxattr",
        lower.join(":"),
        DISK
    );
    let options = std::ffi::CString::new(options)
        .map_err(std::io::Error::other)
        .step("options")?;
    mount(
        "overlay",
        ROOT,
        "overlay",
        MountFlags::NOSUID | MountFlags::NODEV,
        &*options,
    )
    .step("mount overlay")
}

fn open_bind(bind: &Bind) -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    // An ordinary user may not split a tree that hides something below a mount: take it whole.
    let recursive = flags | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &bind.source, recursive).step(format!("open {}", bind.source))?;
    let mut set = MountAttributes::NO_DEV | MountAttributes::NO_SUID;
    if !bind.writable {
        set |= MountAttributes::READ_ONLY;
    }
    set_mount_attributes(tree.as_fd(), set, None, Depth::Recursive)
        .step(format!("show {} inside", bind.source))?;
    Ok(tree)
}

/// Device nodes cannot be made by a user namespace; those of the host are shown one by one.
fn rootless_dev() -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", "dev", "tmpfs", flags, c"mode=755,size=64k").step("mount /dev")?;
    for (name, _, _) in crate::setup::DEVICES {
        let point = format!("dev/{name}");
        std::fs::write(&point, "").step("make device file")?;
        mount_bind(format!("/dev/{name}"), &point).step(format!("bind /dev/{name}"))?;
    }
    crate::setup::finish_dev("dev")
}
