//! Reading directories of any size in bounded memory.

use std::collections::BinaryHeap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::FileStat;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::stat_of;

const PAGE_MAX: usize = 1000;
/// A page's entries may take this much, so that it fits into a message whatever the names are.
const PAGE_MAX_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 32 << 10;

/// Names after `after` in byte order, and whether there are more behind them.
pub(super) fn page(
    directory: &OwnedFd,
    after: &[u8],
    limit: u32,
) -> rustix::io::Result<(Vec<FileStat>, bool)> {
    let limit = (limit as usize).clamp(1, PAGE_MAX);
    // The smallest names seen so far, the largest of them on top.
    let mut smallest: BinaryHeap<CString> = BinaryHeap::with_capacity(limit + 2);
    each_name(directory, |name| {
        if name.as_bytes() > after {
            smallest.push(name);
            if smallest.len() > limit + 1 {
                smallest.pop();
            }
        }
        Ok(())
    })?;
    let mut more = smallest.len() > limit;
    let mut names = smallest.into_sorted_vec();
    names.truncate(limit);
    let mut entries = Vec::with_capacity(names.len());
    let mut bytes = 0;
    for name in names {
        if bytes > PAGE_MAX_BYTES {
            more = true;
            break;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(directory, &name, flags, Mode::empty()) {
            Ok(entry) => {
                let stat = stat_of(&entry, name.as_bytes())?;
                bytes += stat.name.len() + stat.target.len() + size_of::<FileStat>();
                entries.push(stat);
            }
            // Gone since it was read.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok((entries, more))
}

/// All names of a directory that is known to be of a bearable size, at most `max`.
pub(crate) fn names(directory: impl AsFd, max: usize) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    each_name(directory, |name| {
        if names.len() >= max {
            return Err(Errno::NOBUFS);
        }
        names.push(name);
        Ok(())
    })?;
    Ok(names)
}

/// At most `max` names from where the directory is read now.
pub(super) fn some_names(directory: impl AsFd, max: usize) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    let stopped = each_name(directory, |name| {
        names.push(name);
        if names.len() < max {
            Ok(())
        } else {
            Err(Errno::NOBUFS)
        }
    });
    match stopped {
        Ok(()) | Err(Errno::NOBUFS) => Ok(names),
        Err(errno) => Err(errno),
    }
}

fn each_name(
    directory: impl AsFd,
    mut take: impl FnMut(CString) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            take(name.to_owned())?;
        }
    }
    Ok(())
}
