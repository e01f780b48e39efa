//! What all sandboxes share: the spawner's own mount namespace, the prepared /dev, the filter.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;

use pinfold_proto::spawn::{Boot, Setup};
use pinfold_sys::process::SingleThreaded;
use pinfold_sys::seccomp::Instruction;
use pinfold_sys::spawn::Sharing;
use rustix::fs::{FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::step::{Failed, Step};

/// Device nodes of every sandbox, and nothing else: name, major, minor.
pub(crate) const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links every program expects in /dev.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Prepared once, used by every boot.
pub(crate) struct Shared {
    pub(crate) single: SingleThreaded,
    pub(crate) sharing: Sharing,
    pub(crate) seccomp: Vec<Instruction>,
    pub(crate) rootless: bool,
    /// This kernel takes the parts of an overlay only by where they are attached.
    pub(crate) overlay_by_path: Cell<bool>,
    /// Locked: as long as this process or a child on its way to becoming a guest is there, no other
    /// server works in the directory.
    _hold: OwnedFd,
}

/// Mount points, relative to the server's scratch directory. This process stays in it: once it has
/// a sandbox's ids, a child could not walk there through the server's private directories.
pub(crate) const ROOT: &str = "root";
pub(crate) const DISK: &str = "disk";
pub(crate) const LAYERS: &str = "layers";
pub(crate) const DEV: &str = "shared-dev";

pub(crate) fn prepare(request: Setup, mut fds: Vec<OwnedFd>) -> Result<Shared, Failed> {
    let hold = fds
        .pop()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
    let hold = hold.step("hold")?;
    let shared = Shared {
        single: SingleThreaded::claim().step("count threads")?,
        sharing: Sharing::found(),
        _hold: hold,
        seccomp: instructions(&request.seccomp),
        rootless: request.rootless,
        overlay_by_path: Cell::new(false),
    };
    // Ended guests vanish without anybody waiting: the server watches pidfds.
    pinfold_sys::signal::ignore_children();
    if !shared.rootless {
        own_mounts(shared.single)?;
    }
    rustix::process::chdir(&request.scratch).step("enter the scratch directory")?;
    // Its own parent directories are what keeps others out.
    rustix::fs::chmod(".", Mode::from_raw_mode(0o755)).step("open the scratch directory")?;
    for directory in [ROOT, DISK, LAYERS, DEV] {
        std::fs::create_dir_all(directory).step(format!("make {directory}"))?;
    }
    if !shared.rootless {
        prepare_dev(DEV)?;
    }
    Ok(shared)
}

fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    bytes
        .as_chunks::<{ Instruction::BYTES }>()
        .0
        .iter()
        .map(|c| Instruction::from_bytes(*c))
        .collect()
}

/// A mount namespace of our own, which follows the host's mounts but never changes them.
fn own_mounts(single: SingleThreaded) -> Result<(), Failed> {
    pinfold_sys::namespace::unshare(single, UnshareFlags::NEWNS).step("unshare mounts")?;
    let slave = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
    mount_change("/", slave).step("make mounts slaves")
}

/// One read-only /dev for all: real device nodes need this machine's root, and sharing one mount
/// spares each sandbox a mount a device.
fn prepare_dev(dev: &str) -> Result<(), Failed> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dev, "tmpfs", flags, c"mode=755,size=64k").step("mount dev")?;
    // The umask would take the write bits of others away from the nodes.
    let umask = rustix::process::umask(Mode::empty());
    let filled = fill_dev(dev);
    rustix::process::umask(umask);
    filled?;
    let flags = flags | MountFlags::RDONLY;
    rustix::mount::mount_remount(dev, flags, c"").step("make dev read-only")
}

fn fill_dev(dev: &str) -> Result<(), Failed> {
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(0o666);
        let path = format!("{dev}/{name}");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            FileType::CharacterDevice,
            mode,
            device,
        )
        .step(format!("make device {name}"))?;
    }
    finish_dev(dev)
}

/// The links and mount points that every /dev has.
pub(crate) fn finish_dev(dev: &str) -> Result<(), Failed> {
    for (name, target) in LINKS {
        rustix::fs::symlink(target, format!("{dev}/{name}")).step(format!("link {name}"))?;
    }
    for directory in ["pts", "shm"] {
        std::fs::create_dir(format!("{dev}/{directory}")).step("make dev directory")?;
    }
    Ok(())
}

/// The descriptors of one boot, by what they are.
pub(crate) struct Handed {
    pub(crate) listen: OwnedFd,
    pub(crate) link: OwnedFd,
    pub(crate) net: Option<OwnedFd>,
    pub(crate) cgroup: Option<OwnedFd>,
    pub(crate) join: Vec<OwnedFd>,
    pub(crate) layers: Vec<OwnedFd>,
    pub(crate) disk: Option<OwnedFd>,
    pub(crate) binds: Vec<OwnedFd>,
}

impl Handed {
    pub(crate) fn sort(shared: &Shared, request: &Boot, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        let trees = |count: usize| if shared.rootless { 0 } else { count };
        let kept = request.disk.is_some_and(|disk| disk.kept);
        let mut next = || {
            fds.next()
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        };
        let count = |count: usize| 0..trees(count);
        Ok(Self {
            listen: next()?,
            link: next()?,
            net: request.net.then(&mut next).transpose()?,
            cgroup: request.cgroup.then(&mut next).transpose()?,
            join: (0..request.join)
                .map(|_| next())
                .collect::<io::Result<_>>()?,
            layers: count(request.layers.len())
                .map(|_| next())
                .collect::<io::Result<_>>()?,
            disk: kept.then(&mut next).transpose()?,
            binds: count(request.binds.len())
                .map(|_| next())
                .collect::<io::Result<_>>()?,
        })
    }
}

/// The network namespace of the next child: it is born in it, owned by this machine's own user
/// namespace, so that a sandbox's root has no power over it.
pub(crate) fn enter_network(net: &OwnedFd) -> io::Result<()> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}
