//! Moving between file systems: a copy under a temporary name, a rename, and a remove.
//!
//! A rename across file systems does not exist; on an overlay it does not even exist for the
//! directories of an image.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use super::directory::names;
use super::remove;
use super::resolve::Place;

/// Directories inside each other that are followed.
const DEPTH_MAX: usize = 512;
/// Names in one directory.
const NAMES_MAX: usize = 1 << 20;
const TEMPORARY_PREFIX: &str = ".pinfold-";

pub(super) fn move_across(
    source: &Place,
    target: &Place,
    overwrite: bool,
) -> rustix::io::Result<()> {
    if target.entry.is_some() && !overwrite {
        return Err(Errno::EXIST);
    }
    let temporary = temporary_name()?;
    let moved = copy(
        source.parent.as_fd(),
        &source.name,
        target.parent.as_fd(),
        &temporary,
        0,
    )
    .and_then(|()| {
        let flags = if overwrite {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        let to = &target.parent;
        rustix::fs::renameat_with(to, &temporary, to, &target.name, flags)
    });
    if let Err(errno) = moved {
        // Nothing may be left of a copy that failed; it may not even have begun.
        let _ = remove::tree(target.parent.as_fd(), &temporary);
        return Err(errno);
    }
    remove::tree(source.parent.as_fd(), &source.name)
}

/// A name that nobody else uses in any directory.
pub(crate) fn temporary_name() -> rustix::io::Result<CString> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
    let name = format!("{TEMPORARY_PREFIX}{:016x}", u64::from_ne_bytes(random));
    CString::new(name).map_err(|_| Errno::INVAL)
}

pub(crate) fn is_temporary(name: &CStr) -> bool {
    let rest = name.to_bytes().strip_prefix(TEMPORARY_PREFIX.as_bytes());
    rest.is_some_and(|rest| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit))
}

fn copy(
    from: BorrowedFd<'_>,
    name: &CString,
    to: BorrowedFd<'_>,
    new: &CString,
    depth: usize,
) -> rustix::io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => copy_file(from, name, to, new, &stat),
        FileType::Directory => copy_directory(from, name, to, new, &stat, depth),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, new)?;
            own(to, new, &stat);
            Ok(())
        }
        FileType::Fifo => {
            rustix::fs::mknodat(to, new, FileType::Fifo, mode(&stat), 0)?;
            own(to, new, &stat);
            Ok(())
        }
        // A socket or device is bound to where it is.
        _ => Err(Errno::XDEV),
    }
}

fn copy_file(
    from: BorrowedFd<'_>,
    name: &CString,
    to: BorrowedFd<'_>,
    new: &CString,
    stat: &Stat,
) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, new, flags, Mode::from_raw_mode(0o600))?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    std::io::copy(&mut source, &mut target)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    finish(&OwnedFd::from(target), stat)
}

fn copy_directory(
    from: BorrowedFd<'_>,
    name: &CString,
    to: BorrowedFd<'_>,
    new: &CString,
    stat: &Stat,
    depth: usize,
) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
    rustix::fs::mkdirat(to, new, Mode::from_raw_mode(0o700))?;
    let target = rustix::fs::openat(to, new, flags, Mode::empty())?;
    for name in names(&source, NAMES_MAX)? {
        copy(source.as_fd(), &name, target.as_fd(), &name, depth + 1)?;
    }
    finish(&target, stat)
}

/// Owner, mode and times, in this order: a change of owner clears setuid bits, and every change
/// before the last touches the time.
fn finish(target: &OwnedFd, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    // Only root may give files away; anybody else's copies are their own.
    let _ = rustix::fs::fchown(target, Some(uid), Some(gid));
    rustix::fs::fchmod(target, mode(stat))?;
    rustix::fs::futimens(target, &times(stat))
}

fn own(to: BorrowedFd<'_>, new: &CString, stat: &Stat) {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    // As above.
    let _ = rustix::fs::chownat(to, new, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & super::MODE_BITS)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}
