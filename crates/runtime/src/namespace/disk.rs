//! Where sandboxes write: memory, or a pool on this machine's disk.
//!
//! A directory on an ordinary file system cannot be bounded without project quotas, which few
//! machines have. So the pool is a btrfs of its own in one sparse file: each sandbox gets a
//! subvolume with a size limit, made and removed in microseconds, kept while the sandbox is
//! stopped, and shared copy-on-write by snapshots. Where btrfs is not to be had, disks are memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use pinfold_model::{ImageId, Resources};
use pinfold_proto::spawn::Disk;
use pinfold_sys::btrfs::{self, Access, Held, Quotas};
use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::mount::{OpenTreeFlags, UnmountFlags, open_tree};

/// Files and directories a disk in memory may hold for each of its MiB.
const INODES_PER_MIB: u64 = 64;
/// What btrfs needs at all.
const POOL_MIN_BYTES: u64 = 256 << 20;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    /// Memory, which counts against the sandbox's own: for sandboxes that live as long as a process.
    Memory,
    /// A pool of at most this size (sparse: it only takes what is written), or memory where the
    /// host cannot offer one.
    Pool { size_bytes: u64 },
}

/// What there is.
#[derive(Debug)]
pub(super) enum Store {
    Memory { because: String },
    Pool(Pool),
}

#[derive(Debug)]
pub(super) struct Pool {
    image: PathBuf,
    point: PathBuf,
    mounted: Mutex<bool>,
}

impl Store {
    /// Opens or makes the pool below `directory`.
    pub(super) fn open(wanted: Disks, directory: &Path) -> Self {
        match wanted {
            Disks::Memory => Self::Memory {
                because: "a pool is for root, and for sandboxes that outlive their program"
                    .to_owned(),
            },
            Disks::Pool { size_bytes } => Pool::open(directory, size_bytes)
                .map_or_else(|because| Self::Memory { because }, Self::Pool),
        }
    }

    /// Whether a disk outlives its sandbox's processes.
    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Pool(_))
    }

    pub(super) fn weaker(&self) -> Option<String> {
        match self {
            Self::Pool(_) => None,
            Self::Memory { because } => Some(format!(
                "disks are kept in memory: they count against memory_mib, hold at most half of it, \
                 and stopping a sandbox would lose its disk ({because})"
            )),
        }
    }

    /// The disk of a sandbox, made where it does not exist, as a detached mount if it is kept. A new
    /// one begins with what the snapshot holds.
    pub(super) fn make(
        &self,
        name: &str,
        limits: &Resources,
        snapshot: Option<&ImageId>,
    ) -> io::Result<(Disk, Option<OwnedFd>)> {
        match self {
            Self::Memory { .. } => Ok((memory(limits), None)),
            Self::Pool(pool) => {
                let tree = pool.make(name, bytes(limits), snapshot)?;
                Ok((
                    Disk {
                        kept: true,
                        ..Disk::default()
                    },
                    Some(tree),
                ))
            }
        }
    }

    /// Removes a disk or a snapshot.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Memory { .. } => Ok(()),
            Self::Pool(pool) => pool.remove(name),
        }
    }

    /// Writes out what is not on the pool's file yet, so that a copy has little left to write.
    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Memory { .. } => Ok(()),
            Self::Pool(pool) => Ok(rustix::fs::syncfs(File::open(&pool.point)?)?),
        }
    }

    /// What the disk `from` holds, as the disk or snapshot `name`.
    pub(super) fn copy(
        &self,
        from: &str,
        name: &str,
        access: Access,
        limits: &Resources,
    ) -> io::Result<()> {
        match self {
            Self::Memory { .. } => Err(io::ErrorKind::Unsupported.into()),
            Self::Pool(pool) => {
                pool.copy(from, name, access)?;
                pool.make_room(from, bytes(limits))
            }
        }
    }

    /// The upper directory of a disk or a snapshot.
    pub(super) fn tree(&self, name: &str) -> io::Result<PathBuf> {
        match self {
            Self::Memory { .. } => Err(io::ErrorKind::Unsupported.into()),
            Self::Pool(pool) => {
                pool.mount()?;
                Ok(pool.point.join(name).join("upper"))
            }
        }
    }

    pub(super) fn snapshots(&self) -> io::Result<Vec<ImageId>> {
        match self {
            Self::Memory { .. } => Ok(Vec::new()),
            Self::Pool(pool) => pool.snapshots(),
        }
    }

    /// Lets go of the machine's mounts, where no sandbox uses them any more.
    pub(super) fn close(&self) {
        if let Self::Pool(pool) = self {
            pool.unmount();
        }
    }
}

fn bytes(limits: &Resources) -> u64 {
    u64::from(limits.disk_mib) << 20
}

/// A full disk must be an error inside and not the end of the sandbox, so a disk in memory takes at
/// most half of what the sandbox has.
fn memory(limits: &Resources) -> Disk {
    let mib = u64::from(limits.disk_mib.min(limits.memory_mib / 2).max(1));
    Disk {
        kept: false,
        size_bytes: mib << 20,
        inodes: mib * INODES_PER_MIB,
    }
}

impl Pool {
    /// An error is the reason, in words.
    fn open(directory: &Path, size_bytes: u64) -> Result<Self, String> {
        let image = directory.join(".pool.btrfs");
        let point = directory.join(".pool");
        std::fs::create_dir_all(&point).map_err(|error| format!("{}: {error}", point.display()))?;
        if !image.exists() {
            format(&image, size_bytes.max(POOL_MIN_BYTES))?;
        }
        let pool = Self {
            image,
            point,
            mounted: Mutex::new(false),
        };
        pool.mount()
            .map_err(|error| format!("the pool does not mount: {error}"))?;
        Ok(pool)
    }

    fn mount(&self) -> io::Result<()> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        if *mounted || (is_mount_point(&self.point)? && !self.remove_stuck()?) {
            *mounted = true;
            return Ok(());
        }
        let options = "loop,noatime,discard=async,nosuid,nodev";
        run(Command::new("mount")
            .args(["-t", "btrfs", "-o", options])
            .args([&self.image, &self.point]))?;
        let enabled = File::open(&self.point).and_then(btrfs::enable_quotas);
        if let Err(error) = enabled {
            let _ = rustix::mount::unmount(&self.point, UnmountFlags::empty());
            return Err(error);
        }
        *mounted = true;
        Ok(())
    }

    /// Unmounts a pool that found no room for its file some time: it stays read-only until it is
    /// mounted anew. `false` where it is sound, or some sandbox still uses it.
    fn remove_stuck(&self) -> io::Result<bool> {
        let flags = rustix::fs::statvfs(&self.point)?.f_flag;
        Ok(flags.contains(StatVfsMountFlags::RDONLY)
            && rustix::mount::unmount(&self.point, UnmountFlags::empty()).is_ok())
    }

    fn unmount(&self) {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        // Snapshots stay in it and need no mount.
        let unused = std::fs::read_dir(&self.point).is_ok_and(|mut entries| {
            entries.all(|entry| entry.is_ok_and(|entry| snapshot_of(&entry).is_some()))
        });
        if *mounted && unused {
            *mounted = rustix::mount::unmount(&self.point, UnmountFlags::empty()).is_err();
        }
    }

    fn make(&self, name: &str, bytes: u64, snapshot: Option<&ImageId>) -> io::Result<OwnedFd> {
        self.mount()?;
        let made = match snapshot {
            None => btrfs::create_subvolume(File::open(&self.point)?, name),
            Some(_) if self.point.join(name).exists() => Ok(()),
            Some(snapshot) => self.copy(snapshot.as_str(), name, Access::Writable),
        };
        let path = self.point.join(name);
        let held = match made {
            // Nothing has to be asked about what was not there a moment ago.
            Ok(()) if snapshot.is_none() => Held::default(),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => btrfs::held(&path)?,
        };
        if held.bound.is_none() {
            // What it begins with does not count.
            btrfs::bound_subvolume(&path, Some(held.bytes.saturating_add(bytes)))?;
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(open_tree(CWD, &path, flags)?)
    }

    fn copy(&self, from: &str, name: &str, access: Access) -> io::Result<()> {
        self.mount()?;
        let source = File::open(self.point.join(from))?;
        btrfs::snapshot_subvolume(source, File::open(&self.point)?, name, access)?;
        match access {
            Access::ReadOnly => Ok(()),
            // As the spawner leaves one that is not finished: it has yet to get the files in which
            // sandboxes differ.
            Access::Writable => {
                let disk = self.point.join(name);
                // Full quotas hand the bound down; its own is set when it is first used.
                btrfs::bound_subvolume(&disk, None)?;
                std::fs::rename(disk.join("upper"), disk.join("new"))
            }
        }
    }

    /// Behind a copy. Simple quotas go on counting what a disk has allocated when it has removed that and
    /// only the copy still shows it. So its bound grows by what it holds now, but never to more than twice
    /// the size of the disk: copies may be removed again, and a bound that grew with each were none.
    fn make_room(&self, name: &str, bytes: u64) -> io::Result<()> {
        if btrfs::quotas(File::open(&self.point)?)? == Quotas::Full {
            return Ok(());
        }
        let path = self.point.join(name);
        let held = btrfs::held(&path)?;
        let wanted = held.bytes.min(bytes).saturating_add(bytes);
        match held.bound {
            Some(bound) if bound < wanted => btrfs::bound_subvolume(&path, Some(wanted)),
            _ => Ok(()),
        }
    }

    fn snapshots(&self) -> io::Result<Vec<ImageId>> {
        self.mount()?;
        let entries = std::fs::read_dir(&self.point)?;
        let names = entries.filter_map(|entry| entry.map(|e| snapshot_of(&e)).transpose());
        names.collect()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.mount()?;
        match btrfs::remove_subvolume(File::open(&self.point)?, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Everything in the pool is called by the id of the sandbox or the image it is of.
fn snapshot_of(entry: &std::fs::DirEntry) -> Option<ImageId> {
    entry.file_name().to_str()?.parse().ok()
}

/// Makes the file system beside its place and moves it there when it is whole.
fn format(image: &Path, size_bytes: u64) -> Result<(), String> {
    let new = image.with_extension("new");
    let make = || -> io::Result<()> {
        File::create(&new)?.set_len(size_bytes)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-f"]).arg(&new))?;
        std::fs::rename(&new, image)
    };
    make().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            "install btrfs-progs on this host for disks that are kept".to_owned()
        }
        _ => format!("the pool cannot be made: {error}"),
    })
}

/// Runs a program of the machine; an error holds the first line of what it said.
fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(std::process::Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(
        words.lines().next().unwrap_or("no message").to_owned(),
    ))
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().expect("the pool's mount point has a parent");
    Ok(std::fs::metadata(path)?.dev() != std::fs::metadata(parent)?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_in_memory_leaves_half_of_the_memory() {
        let limits = Resources {
            memory_mib: 100,
            disk_mib: 4096,
            ..Resources::default()
        };
        assert_eq!(memory(&limits).size_bytes, 50 << 20);
        let limits = Resources {
            memory_mib: 100,
            disk_mib: 10,
            ..limits
        };
        assert_eq!(memory(&limits).size_bytes, 10 << 20);
    }
}
