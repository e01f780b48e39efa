//! The half of a boot that needs this machine's root: ids, idmapped layers, the overlay, binds.
//!
//! ```text
//! parent (this file)                          child (child.rs)
//! enter the network namespace
//! clone with new namespaces ----------------> join cgroups
//! write the id maps
//! idmap the layers, mount the overlay
//! send the mounts as descriptors -----------> become root of the sandbox, attach the mounts,
//!                                             pivot, drop rights, seccomp
//! end of file: it is running <--------------- be the guest
//! ```
//! Whatever fails, the child ends and every mount goes with its namespace or descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pinfold_proto::spawn::{Bind, Boot, Disk, File};
use pinfold_sys::datagram;
use pinfold_sys::fsid::with_file_ids;
use pinfold_sys::namespace::{
    Cloned, Depth, MountAttributes, Namespaces, clone_process, set_mount_attributes,
};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::account::on_account_of;
use crate::child;
use crate::setup::{DEV, DISK, Handed, LAYERS, Shared, enter_network};
use crate::step::{Failed, Step};

/// Ids in one sandbox's range.
const RANGE: u32 = 65_536;
/// Of a thousand: sandboxes go first, and what is dearer to this machine last.
const OOM_SCORE: &str = "300";

pub(crate) fn boot(
    shared: &Shared,
    request: &Boot,
    handed: &Handed,
) -> Result<(u32, OwnedFd), Failed> {
    if let Some(net) = &handed.net {
        enter_network(net).step("enter network namespace")?;
    }
    let (ours, theirs) = datagram::pair().step("socket pair")?;
    let cgroup = handed.cgroup.as_ref().map(AsFd::as_fd);
    let clone = || clone_process(shared.single, namespaces(shared, request), cgroup);
    let cloned = if shared.rootless {
        clone()
    } else {
        on_account_of(request.id_base, clone)
    };
    match cloned.step("clone")? {
        Cloned::Child => {
            drop(ours);
            child::run(shared, request, handed, theirs)
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            let result =
                equip(shared, request, handed, pid, ours.as_fd()).and_then(|()| outcome(&ours));
            if result.is_err() {
                // It may already have ended by itself, which is as good.
                let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            }
            result.map(|()| (pid.unsigned_abs(), pidfd))
        }
    }
}

fn namespaces(shared: &Shared, request: &Boot) -> Namespaces {
    let always =
        Namespaces::USER | Namespaces::MOUNT | Namespaces::PID | Namespaces::IPC | Namespaces::UTS;
    // Where the server could make no network namespace for it, the sandbox gets one of its own.
    if shared.rootless || !request.net {
        always | Namespaces::NET
    } else {
        always
    }
}

/// Everything of a sandbox goes before this machine's own when memory runs out. From here since the
/// guest, which is not dumpable, may not write its own; what inherits it may raise and, where we have
/// `CAP_SYS_RESOURCE`, never lower it (proc_pid_oom_score_adj(5)). Best effort: `/proc` may be read-only.
fn offer_to_oom(pid: i32) {
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE);
}

/// Gives the waiting child its ids and mounts.
fn equip(
    shared: &Shared,
    request: &Boot,
    handed: &Handed,
    pid: i32,
    to: BorrowedFd<'_>,
) -> Result<(), Failed> {
    offer_to_oom(pid);
    if shared.rootless {
        write_single_id(pid)?;
        return datagram::send(to, b"go", &[]).step("hand over");
    }
    let map = format!("0 {} {RANGE}\n", request.id_base);
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{pid}/{file}"), &map).step(format!("write {file}"))?;
    }
    let ids = rustix::fs::open(
        format!("/proc/{pid}/ns/user"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .step("open user namespace")?;
    // Let go of behind the child's back: the kernel waits for its readers at each mount that goes.
    let mut parts = Parts::default();
    let root = overlay(shared, request, handed, ids.as_fd(), &mut parts)?;
    let dev = shared_dev()?;
    for (tree, bind) in handed.binds.iter().zip(&request.binds) {
        show_inside(tree, bind, ids.as_fd())?;
    }
    let mounts: Vec<_> = [root.as_fd(), dev.as_fd()]
        .into_iter()
        .chain(handed.binds.iter().map(AsFd::as_fd))
        .collect();
    datagram::send(to, b"go", &mounts).step("hand over")
}

/// An ordinary user may map its own id and nothing else, and only after giving up setgroups
/// (user_namespaces(7)).
fn write_single_id(pid: i32) -> Result<(), Failed> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1\n")),
        ("gid_map", format!("0 {gid} 1\n")),
    ] {
        std::fs::write(format!("/proc/{pid}/{file}"), text).step(format!("write {file}"))?;
    }
    Ok(())
}

fn shared_dev() -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, DEV, flags).step("open dev")
}

/// A directory or file of this machine, with its owners shown as the sandbox's own.
fn show_inside(tree: &OwnedFd, bind: &Bind, ids: BorrowedFd<'_>) -> Result<(), Failed> {
    let mut set = MountAttributes::NO_DEV | MountAttributes::NO_SUID;
    if !bind.writable {
        set |= MountAttributes::READ_ONLY;
    }
    let step = || format!("show {} inside", bind.source);
    match set_mount_attributes(tree.as_fd(), set, Some(ids), Depth::One) {
        // A file system without idmapped mounts: visible all the same, owned by nobody.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            set_mount_attributes(tree.as_fd(), set, None, Depth::One).step(step())
        }
        other => other.step(step()),
    }
}

fn overlay(
    shared: &Shared,
    request: &Boot,
    handed: &Handed,
    ids: BorrowedFd<'_>,
    parts: &mut Parts,
) -> Result<OwnedFd, Failed> {
    for layer in &handed.layers {
        let set = MountAttributes::READ_ONLY | MountAttributes::NO_DEV;
        set_mount_attributes(layer.as_fd(), set, Some(ids), Depth::One).step("idmap layer")?;
    }
    let disk = match &handed.disk {
        // Kept disks hold the sandbox's own ids, so that they do not depend on its slot.
        Some(kept) => {
            prepare_upper(kept, request, 0)?;
            let set = MountAttributes::NO_DEV;
            set_mount_attributes(kept.as_fd(), set, Some(ids), Depth::One).step("idmap disk")?;
            kept
        }
        None => {
            let memory = memory_disk(&request.disk.unwrap_or_default())?;
            prepare_upper(&memory, request, request.id_base)?;
            parts.memory.insert(memory)
        }
    };
    // overlayfs writes with the ids of whoever mounts it, and this machine's root has none on a disk
    // that is mapped to the sandbox's.
    let make = |from: &Source<'_>| match &handed.disk {
        Some(_) => with_file_ids(request.id_base, request.id_base, || make_overlay(from))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))
            .and_then(|made| made),
        None => make_overlay(from),
    };
    if !shared.overlay_by_path.get() {
        match make(&Source::Descriptors(&handed.layers, disk)) {
            Err(errno) if REFUSED.contains(&errno) => shared.overlay_by_path.set(true),
            made => return made.step("make overlay"),
        }
    }
    let lower = attach_parts(&handed.layers, disk, &mut parts.attached)?;
    make(&Source::Paths(&lower)).step("make overlay")
}

/// What kernels before 6.15 say to parts that are attached nowhere: that they are no text, that a descriptor
/// opened as a path alone is none, or that the mount is not theirs.
const REFUSED: [Errno; 3] = [Errno::OPNOTSUPP, Errno::BADF, Errno::INVAL];

/// How an overlay is told what it is made of.
enum Source<'a> {
    /// The layers, the topmost last, and the disk.
    Descriptors(&'a [OwnedFd], &'a OwnedFd),
    /// The layers, separated, where [`attach_parts`] has put them.
    Paths(&'a str),
}

/// Attaches the parts to mount points of ours until the overlay is made and handed over: overlayfs keeps
/// private copies.
fn attach_parts(
    layers: &[OwnedFd],
    disk: &OwnedFd,
    attached: &mut Attached,
) -> Result<String, Failed> {
    let mut lower = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let point = format!("{LAYERS}/{at}");
        match std::fs::create_dir(&point) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other.step("make layer mount point")?,
        }
        attached.attach(layer, point.clone()).step("attach layer")?;
        lower.insert(0, point);
    }
    attached.attach(disk, DISK.to_owned()).step("attach disk")?;
    Ok(lower.join(":"))
}

fn make_overlay(from: &Source<'_>) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(context, key, value);
    match from {
        Source::Descriptors(layers, disk) => {
            for layer in layers.iter().rev() {
                rustix::mount::fsconfig_set_fd(context, "lowerdir+", layer.as_fd())?;
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            for (key, name) in [("upperdir", "upper"), ("workdir", "work")] {
                let part = rustix::fs::openat(disk, name, flags, Mode::empty())?;
                rustix::mount::fsconfig_set_fd(context, key, part.as_fd())?;
            }
        }
        Source::Paths(lower) => {
            set("lowerdir", lower)?;
            set("upperdir", &format!("{DISK}/upper"))?;
            set("workdir", &format!("{DISK}/work"))?;
        }
    }
    set("source", "pinfold")?;
    // An image is hostile: it must not be able to point a directory of its own elsewhere.
    set("redirect_dir", "nofollow")?;
    set("metacopy", "off")?;
    set("index", "off")?;
    rustix::mount::fsconfig_create(context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn memory_disk(disk: &Disk) -> Result<OwnedFd, Failed> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step("open tmpfs")?;
    let context = context.as_fd();
    let set = |key: &str, value: &str| rustix::mount::fsconfig_set_string(context, key, value);
    set("size", &disk.size_bytes.to_string()).step("tmpfs size")?;
    set("nr_inodes", &disk.inodes.to_string()).step("tmpfs inodes")?;
    set("mode", "0755").step("tmpfs mode")?;
    rustix::mount::fsconfig_create(context).step("make tmpfs")?;
    rustix::mount::fsmount(
        context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .step("mount tmpfs")
}

/// Makes the upper directory with the files every sandbox has, unless a disk that was kept has it
/// already. Plain directories above the layers: no link of an image is ever followed here. The
/// upper directory appears last and whole, so that a boot cut short is begun again.
fn prepare_upper(disk: &OwnedFd, request: &Boot, owner: u32) -> Result<(), Failed> {
    let base = format!("/proc/self/fd/{}", disk.as_raw_fd());
    if Path::new(&format!("{base}/upper")).exists() {
        return Ok(());
    }
    let new = format!("{base}/new");
    let own = |path: &str| {
        let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    };
    std::fs::create_dir_all(format!("{base}/work")).step("make work")?;
    std::fs::create_dir_all(&new).step("make upper")?;
    own(&new).step("own upper")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let upper = rustix::fs::open(&new, flags, Mode::empty()).step("open upper")?;
    for file in &request.files {
        place(&upper, file, owner).step(format!("write {}", file.path))?;
    }
    std::fs::rename(new, format!("{base}/upper")).step("place upper")
}

/// Puts a file of the sandbox's own into its upper directory. In a copy of another disk anything may
/// stand there, made by whoever had it: nothing of it is followed, and where a sandbox wanted
/// something else than a file in a directory, that stays.
fn place(upper: &OwnedFd, file: &File, owner: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
    let (parent, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(upper, parent, flags, Mode::empty(), within)
    };
    let parent = match open() {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(upper, parent, Mode::from_raw_mode(0o755))?;
            let made = open()?;
            rustix::fs::fchown(&made, uid, gid)?;
            made
        }
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => return Ok(()),
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))?;
    rustix::fs::fchown(&opened, uid, gid)?;
    let mut left = file.content.as_slice();
    while !left.is_empty() {
        left = &left[rustix::io::write(&opened, left)?..];
    }
    Ok(())
}

/// What an overlay was made of and has copies of its own of.
#[derive(Default)]
struct Parts {
    attached: Attached,
    memory: Option<OwnedFd>,
}

/// Mounts attached to paths of ours, detached again when this goes.
#[derive(Default)]
struct Attached(Vec<String>);

impl Attached {
    fn attach(&mut self, mount: &OwnedFd, point: String) -> rustix::io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(mount.as_fd(), "", CWD, &point, flags)?;
        self.0.push(point);
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        for point in self.0.drain(..).rev() {
            // Nothing else can be done about a mount that will not go; it is ours alone.
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
    }
}

/// Waits until the child has become the guest (it closes its end then) or says what failed.
fn outcome(from: &OwnedFd) -> Result<(), Failed> {
    let mut buffer = [0; 512];
    let (len, _) = datagram::receive(from, &mut buffer).step("wait for the child")?;
    if len == 0 {
        Ok(())
    } else {
        Err(Failed::from_bytes(&buffer[..len]))
    }
}
