//! What is known about one file.

use std::os::fd::OwnedFd;

use pinfold_proto::{FileKind, FileStat};
use rustix::fs::{FileType, Stat};

/// Of something opened as a path.
pub(crate) fn stat_of(entry: &OwnedFd, name: &[u8]) -> rustix::io::Result<FileStat> {
    let stat = rustix::fs::fstat(entry)?;
    let kind = kind_of(&stat);
    let target = match kind {
        FileKind::Symlink => rustix::fs::readlinkat(entry, c"", Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    Ok(FileStat {
        name: name.to_vec(),
        kind: kind.into(),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & super::MODE_BITS,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified_us: modified_us(&stat),
        target,
    })
}

fn kind_of(stat: &Stat) -> FileKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

fn modified_us(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    // A tenant may set any time; one that hosts cannot represent is cut to one that they can.
    const LAST_SECOND: i64 = 253_402_207_199;
    let seconds = stat.st_mtime.clamp(-LAST_SECOND, LAST_SECOND);
    seconds * 1_000_000 + nanos / 1000
}
