//! Subvolumes of btrfs and their size limits (linux/btrfs.h).

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolumeArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`, its unions as the members that are used here.
#[repr(C)]
struct SnapshotArgs {
    source: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct LookupArgs {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_qgroup_limit_args` with its `struct btrfs_qgroup_limit`.
#[repr(C)]
struct LimitArgs {
    group: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

/// `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
struct QuotaArgs {
    command: u64,
    status: u64,
}

/// `struct btrfs_ioctl_search_args`.
#[repr(C)]
struct SearchArgs {
    tree: u64,
    objects: [u64; 2],
    offsets: [u64; 2],
    transactions: [u64; 2],
    types: [u32; 2],
    items: u32,
    unused: [u32; 9],
    found: [u8; 3992],
}

const _: () = assert!(size_of::<QuotaArgs>() == 16);
const _: () = assert!(size_of::<SearchArgs>() == 4096);
const _: () = assert!(size_of::<VolumeArgs>() == 4096);
const _: () = assert!(size_of::<SnapshotArgs>() == 4096);
const _: () = assert!(size_of::<LookupArgs>() == 4096);
const _: () = assert!(size_of::<LimitArgs>() == 48);

const SUBVOLUME_CREATE: u64 = 0x5000_940e;
const SNAPSHOT_CREATE: u64 = 0x5000_9417;
const SNAPSHOT_DESTROY: u64 = 0x5000_940f;
const INODE_LOOKUP: u64 = 0xd000_9412;
const GROUP_LIMIT: u64 = 0x8030_942b;
const QUOTA_CONTROL: u64 = 0xc010_9428;
const TREE_SEARCH: u64 = 0xd000_9411;
const ENABLE_QUOTAS: u64 = 1;
const ENABLE_SIMPLE_QUOTAS: u64 = 4;
const QUOTA_TREE: u64 = 8;
const QUOTA_STATUS: u32 = 240;
const STATUS_SIMPLE: u64 = 1 << 3;
const GROUP_INFO: u32 = 242;
const GROUP_BOUNDS: u32 = 244;
/// `struct btrfs_ioctl_search_header`.
const FOUND_HEADER_BYTES: usize = 32;
/// The object that every subvolume's root directory is.
const FIRST_FREE_OBJECT: u64 = 256;
const LIMIT_REFERENCED: u64 = 1;
/// Takes a limit away.
const NO_LIMIT: u64 = u64::MAX;
const READ_ONLY: u64 = 1 << 1;

/// Whether a snapshot can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    Writable,
}

/// Makes a subvolume `name` in the directory. `name` is one path component.
pub fn create_subvolume(parent: impl AsFd, name: &str) -> io::Result<()> {
    let args = volume_args(name)?;
    // SAFETY: the command takes a btrfs_ioctl_vol_args, which `args` is by layout; it is only read.
    let result = unsafe {
        libc::ioctl(
            raw(&parent),
            SUBVOLUME_CREATE as _,
            std::ptr::from_ref(&*args),
        )
    };
    check(result)
}

/// Makes a subvolume `name` in the directory that holds what the subvolume `source` holds at this
/// moment, sharing all of it. What was written to `source` before, mapped memory included, is in
/// it; both are on disk when this returns. `name` is one path component.
pub fn snapshot_subvolume(
    source: impl AsFd,
    parent: impl AsFd,
    name: &str,
    access: Access,
) -> io::Result<()> {
    let name = file_name(name)?;
    let mut args = Box::new(SnapshotArgs {
        source: raw(&source).into(),
        transaction: 0,
        flags: match access {
            Access::ReadOnly => READ_ONLY,
            Access::Writable => 0,
        },
        unused: [0; 4],
        name: [0; 4040],
    });
    args.name[..name.len()].copy_from_slice(name);
    // SAFETY: the command takes a btrfs_ioctl_vol_args_v2, which `args` is by layout; it is only
    // read.
    let result = unsafe {
        libc::ioctl(
            raw(&parent),
            SNAPSHOT_CREATE as _,
            std::ptr::from_ref(&*args),
        )
    };
    check(result)
}

/// Removes a subvolume with all it holds, whatever its size; its space comes back later.
pub fn remove_subvolume(parent: impl AsFd, name: &str) -> io::Result<()> {
    let args = volume_args(name)?;
    // SAFETY: the command takes a btrfs_ioctl_vol_args, which `args` is by layout; it is only read.
    let result = unsafe {
        libc::ioctl(
            raw(&parent),
            SNAPSHOT_DESTROY as _,
            std::ptr::from_ref(&*args),
        )
    };
    check(result)
}

/// How btrfs counts what a subvolume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotas {
    /// What it has allocated, for as long as anything holds that.
    Simple,
    /// What it shows.
    Full,
}

/// Turns quotas on where they are not: simple ones, or full ones on kernels before 6.7.
pub fn enable_quotas(filesystem: impl AsFd) -> io::Result<()> {
    let enable = |command| {
        let args = QuotaArgs { command, status: 0 };
        // SAFETY: the command takes a btrfs_ioctl_quota_ctl_args, which `args` is by layout; it is
        // only read.
        let result = unsafe {
            libc::ioctl(
                raw(&filesystem),
                QUOTA_CONTROL as _,
                std::ptr::from_ref(&args),
            )
        };
        check(result)
    };
    match enable(ENABLE_SIMPLE_QUOTAS) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => enable(ENABLE_QUOTAS),
        other => other,
    }
}

/// Which are on: those that were turned on first stay.
pub fn quotas(filesystem: impl AsFd) -> io::Result<Quotas> {
    let status = item(filesystem.as_fd(), QUOTA_STATUS, 0)?.ok_or(io::ErrorKind::NotFound)?;
    // Version, generation, flags.
    Ok(match status[2] & STATUS_SIMPLE {
        0 => Quotas::Full,
        _ => Quotas::Simple,
    })
}

/// What a subvolume counts as holding, as of the last commit, and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    pub bytes: u64,
    pub bound: Option<u64>,
}

/// Quotas must be on.
pub fn held(subvolume: &Path) -> io::Result<Held> {
    let directory = File::open(subvolume)?;
    let group = subvolume_id(directory.as_fd())?;
    let info = item(directory.as_fd(), GROUP_INFO, group)?;
    let bounds = item(directory.as_fd(), GROUP_BOUNDS, group)?;
    Ok(Held {
        // Generation, then bytes; none before its first commit.
        bytes: info.map_or(0, |info| info[1]),
        bound: bounds
            .and_then(|[flags, bytes, _]| (flags & LIMIT_REFERENCED != 0).then_some(bytes)),
    })
}

/// Bounds what the subvolume of this directory may hold, metadata included, or takes its bound away.
/// Quotas must be on.
pub fn bound_subvolume(subvolume: &Path, bytes: Option<u64>) -> io::Result<()> {
    let directory = File::open(subvolume)?;
    let args = LimitArgs {
        group: subvolume_id(directory.as_fd())?,
        flags: LIMIT_REFERENCED,
        max_referenced: bytes.unwrap_or(NO_LIMIT),
        max_exclusive: 0,
        reserved_referenced: 0,
        reserved_exclusive: 0,
    };
    // SAFETY: the command takes a btrfs_ioctl_qgroup_limit_args, which `args` is by layout; it is
    // only read.
    let result =
        unsafe { libc::ioctl(raw(&directory), GROUP_LIMIT as _, std::ptr::from_ref(&args)) };
    check(result)
}

/// The first three numbers of an item in the tree of quotas.
fn item(directory: BorrowedFd<'_>, kind: u32, group: u64) -> io::Result<Option<[u64; 3]>> {
    let mut args = Box::new(SearchArgs {
        tree: QUOTA_TREE,
        objects: [0, 0],
        offsets: [group, group],
        transactions: [0, u64::MAX],
        types: [kind, kind],
        items: 1,
        unused: [0; 9],
        found: [0; 3992],
    });
    // SAFETY: the command takes a btrfs_ioctl_search_args, which `args` is by layout, and writes no
    // more than it holds.
    let result = unsafe {
        libc::ioctl(
            raw(&directory),
            TREE_SEARCH as _,
            std::ptr::from_mut(&mut *args),
        )
    };
    check(result)?;
    if args.items == 0 {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = &args.found[FOUND_HEADER_BYTES + at * 8..][..8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    Ok(Some([number(0), number(1), number(2)]))
}

fn subvolume_id(directory: BorrowedFd<'_>) -> io::Result<u64> {
    let mut args = Box::new(LookupArgs {
        tree: 0,
        object: FIRST_FREE_OBJECT,
        name: [0; 4080],
    });
    // SAFETY: the command takes a btrfs_ioctl_ino_lookup_args, which `args` is by layout, and
    // writes no more than it holds.
    let result = unsafe {
        libc::ioctl(
            raw(&directory),
            INODE_LOOKUP as _,
            std::ptr::from_mut(&mut *args),
        )
    };
    check(result).map(|()| args.tree)
}

fn file_name(name: &str) -> io::Result<&[u8]> {
    let bytes = OsStr::new(name).as_bytes();
    if bytes.is_empty() || bytes.len() > 255 || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a file name",
        ));
    }
    Ok(bytes)
}

fn volume_args(name: &str) -> io::Result<Box<VolumeArgs>> {
    let bytes = file_name(name)?;
    let mut args = Box::new(VolumeArgs {
        fd: 0,
        name: [0; 4088],
    });
    args.name[..bytes.len()].copy_from_slice(bytes);
    debug_assert!(CStr::from_bytes_until_nul(&args.name).is_ok());
    Ok(args)
}

fn raw(fd: &impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_are_refused() {
        let directory = File::open("/").expect("open");
        for name in ["", "a/b", "a\0b", &"x".repeat(256)] {
            let error = create_subvolume(&directory, name).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
