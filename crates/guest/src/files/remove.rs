//! Removing a tree: every step below an open directory, so that nothing swapped in meanwhile leads
//! out of it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::directory::some_names;

/// Names taken before they are removed.
const BATCH: usize = 1024;
/// Directories held open at once; each level below another holds one.
const DEPTH_MAX: usize = 4096;

/// Removes an entry and all below it.
pub(super) fn tree(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
    if unlink(parent, name)? {
        return Ok(());
    }
    // Directories being emptied, each with its name in the one before.
    let mut open = vec![(open_below(parent, name)?, name.clone())];
    while let Some((directory, _)) = open.last() {
        match empty(directory)? {
            Emptied::ButFor(below) if open.len() >= DEPTH_MAX => {
                drop(below);
                return Err(Errno::NAMETOOLONG);
            }
            Emptied::ButFor(below) => {
                let opened = open_below(directory.as_fd(), &below);
                match opened {
                    Ok(fd) => open.push((fd, below)),
                    // Gone, or another thing by now; the next look at this directory tells.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Emptied::Whole => {
                if let Some((_, name)) = open.pop() {
                    let above = open.last().map_or(parent, |(fd, _)| fd.as_fd());
                    match rustix::fs::unlinkat(above, &name, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => return Err(errno),
                    }
                }
            }
        }
    }
    Ok(())
}

enum Emptied {
    Whole,
    /// A directory is in the way.
    ButFor(CString),
}

/// Unlinks what is no directory, up to the first one that is.
fn empty(directory: &OwnedFd) -> rustix::io::Result<Emptied> {
    loop {
        // Removing while reading may skip names, so every batch is read from the beginning.
        rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
        let names = some_names(directory, BATCH)?;
        if names.is_empty() {
            return Ok(Emptied::Whole);
        }
        for name in names {
            match unlink(directory.as_fd(), &name) {
                // Gone already is what is wanted.
                Ok(true) | Err(Errno::NOENT) => {}
                Ok(false) => return Ok(Emptied::ButFor(name)),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// `false`: it is a directory.
fn unlink(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open_below(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
