//! File content out.

use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::{FileStat, Path, Transfer};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::data::{self, Data};
use crate::failure::{Outcome, Refusal};
use crate::files::resolve::{Place, Resolver, last_component};
use crate::files::{shown, stat_of};

pub(super) struct Read {
    file: OwnedFd,
    limit: u64,
    subject: String,
}

pub(super) fn begin(path: &Path, request: &Transfer) -> Outcome<(FileStat, Read)> {
    let subject = shown(path);
    let refuse = |errno| Refusal::kernel(&subject, errno);
    let (place, _) = Resolver::new(path)?.existing(!path.no_follow)?;
    check_regular(place.kind(), &subject)?;
    let file = open_file(&place).map_err(refuse)?;
    // It may have become something else since it was looked at.
    let stat = rustix::fs::fstat(&file).map_err(refuse)?;
    check_regular(Some(FileType::from_raw_mode(stat.st_mode)), &subject)?;
    let stat = stat_of(&file, last_component(&path.path)).map_err(refuse)?;
    rustix::fs::seek(&file, SeekFrom::Start(request.offset)).map_err(refuse)?;
    let limit = request.length.unwrap_or(u64::MAX);
    Ok((
        stat,
        Read {
            file,
            limit,
            subject,
        },
    ))
}

impl Read {
    pub(super) fn run(self, mut data: Data<'_>) -> Outcome<u64> {
        data.send_file(&self.file, self.limit)
            .map_err(|error| data::refusal(&self.subject, &error))
    }
}

/// Never blocks, whatever the name has become.
fn open_file(place: &Place) -> rustix::io::Result<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(place.parent.as_fd(), &place.name, flags, Mode::empty())
}

/// Pipes, sockets and devices are no files to read or write.
pub(super) fn check_regular(kind: Option<FileType>, subject: &str) -> Outcome<()> {
    match kind {
        Some(FileType::RegularFile) => Ok(()),
        Some(FileType::Directory) => Err(Refusal::kernel(subject, Errno::ISDIR)),
        Some(FileType::Symlink) => Err(Refusal::kernel(subject, Errno::LOOP)),
        _ => Err(Refusal::invalid(format!("{subject}: is no regular file"))),
    }
}
