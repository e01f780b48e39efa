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

const _: () = assert!(size_of::<VolumeArgs>() == 4096);
const _: () = assert!(size_of::<SnapshotArgs>() == 4096);
const _: () = assert!(size_of::<LookupArgs>() == 4096);
const _: () = assert!(size_of::<LimitArgs>() == 48);

const SUBVOLUME_CREATE: u64 = 0x5000_940e;
const SNAPSHOT_CREATE: u64 = 0x5000_9417;
const SNAPSHOT_DESTROY: u64 = 0x5000_940f;
const INODE_LOOKUP: u64 = 0xd000_9412;
const GROUP_LIMIT: u64 = 0x8030_942b;
/// The object that every subvolume's root directory is.
const FIRST_FREE_OBJECT: u64 = 256;
const LIMIT_REFERENCED: u64 = 1;
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

/// Bounds what the subvolume of this directory may hold, metadata included. Quotas must be on.
pub fn limit_subvolume(subvolume: &Path, bytes: u64) -> io::Result<()> {
    let directory = File::open(subvolume)?;
    let args = LimitArgs {
        group: subvolume_id(directory.as_fd())?,
        flags: LIMIT_REFERENCED,
        max_referenced: bytes,
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
