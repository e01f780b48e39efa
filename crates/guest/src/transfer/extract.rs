//! A tar in, below a directory.
//!
//! The archive is hostile. Every entry is resolved with the target directory as its root: symlinks,
//! whether they were there or came with the archive, cannot lead out of it, and what exists under
//! an entry's name is replaced, never written through.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::Path;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType, Header};

use super::data::{self, Data};
use crate::failure::{Outcome, Refusal};
use crate::files::resolve::{Missing, Place, Resolver, proc_path};
use crate::files::{open_directory, shown};

const BUFFER_BYTES: usize = 128 << 10;
/// Directories whose mode and time are set when all is unpacked.
const DIRECTORIES_MAX: usize = 1 << 20;
/// Times that a name is taken again by somebody else before we give up.
const TRIES: u32 = 8;
const MODE_BITS: u32 = 0o7777;

pub(super) struct Extract {
    target: OwnedFd,
    /// Only root may say whose a file is.
    owners: bool,
    subject: String,
}

pub(super) fn begin(path: &Path, parents: bool) -> Outcome<Extract> {
    let subject = shown(path);
    let refuse = |errno| Refusal::kernel(&subject, errno);
    let resolver = Resolver::new(path)?;
    let missing = if parents {
        Missing::Make
    } else {
        Missing::Refuse
    };
    let mut place = resolver.place_or_itself(true, missing)?;
    if place.entry.is_none() && parents {
        let mode = Mode::from_raw_mode(0o755);
        match rustix::fs::mkdirat(&place.parent, &place.name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(refuse(errno)),
        }
        place = resolver.place_or_itself(true, missing)?;
    }
    let target = open_directory(&place).map_err(refuse)?;
    Ok(Extract {
        target,
        owners: rustix::process::geteuid().is_root(),
        subject,
    })
}

impl Extract {
    pub(super) fn run(self, mut data: Data<'_>) -> Outcome<u64> {
        self.unpack(&mut data)?;
        Ok(data.bytes)
    }

    fn unpack(&self, data: &mut Data<'_>) -> Outcome<()> {
        let broken = |error: &io::Error| self.refusal("archive", error);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, data);
        let mut directories = VecDeque::new();
        let mut archive = Archive::new(&mut reader);
        for entry in archive.entries().map_err(|error| broken(&error))? {
            let mut entry = entry.map_err(|error| broken(&error))?;
            let name = entry.path_bytes().into_owned();
            let unpacked = self.entry(&mut entry, &name, &mut directories);
            unpacked.map_err(|failed| failed.refusal(self, &name))?;
        }
        // What stands behind the archive's end is taken too, so that no writer is cut off.
        io::copy(&mut reader, &mut io::sink()).map_err(|error| broken(&error))?;
        // The innermost first: setting a mode may close the way to what is below.
        for (path, header) in directories.into_iter().rev() {
            // A directory that the archive has replaced meanwhile has its own entry.
            if let Ok(place) = self.place(&path, true)
                && place.is_directory()
            {
                self.dress_directory(&place, &header)
                    .map_err(|failed| failed.refusal(self, &path))?;
            }
        }
        Ok(())
    }

    fn entry<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        name: &[u8],
        directories: &mut VecDeque<(Vec<u8>, Header)>,
    ) -> Result<(), Failed> {
        check(name)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let place = self.place(name, kind == EntryType::Directory)?;
        if place.is_root() {
            // The target itself stays as it is.
            return Ok(());
        }
        match kind {
            EntryType::Directory => {
                make_directory(&place)?;
                if directories.len() >= DIRECTORIES_MAX {
                    return Err(Errno::NOBUFS.into());
                }
                directories.push_back((name.to_vec(), entry.header().clone()));
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &place)
            }
            EntryType::Symlink => self.symlink(entry, &place),
            EntryType::Link => self.hardlink(entry, &place),
            EntryType::Fifo => {
                let mode = Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & MODE_BITS);
                replacing(&place, || {
                    rustix::fs::mknodat(&place.parent, &place.name, FileType::Fifo, mode, 0)
                })?;
                Ok(())
            }
            _ => Err(Failed::Refused(
                "devices and unknown kinds of entries are not unpacked",
            )),
        }
    }

    fn file<R: Read>(&self, entry: &mut Entry<'_, R>, place: &Place) -> Result<(), Failed> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let fd = replacing(place, || {
            rustix::fs::openat(&place.parent, &place.name, flags, mode)
        })?;
        let mut file = File::from(fd);
        let size = entry.size();
        let copied = io::copy(entry, &mut file)?;
        if copied != size {
            return Err(Failed::Refused("the archive ends within this file"));
        }
        let header = entry.header();
        if let Some((uid, gid)) = self.owner(header) {
            // An owner that this sandbox does not have is nobody's business here.
            let _ = rustix::fs::fchown(&file, Some(uid), Some(gid));
        }
        rustix::fs::fchmod(&file, mode_of(header))?;
        rustix::fs::futimens(&file, &times(header))?;
        Ok(())
    }

    fn symlink<R: Read>(&self, entry: &Entry<'_, R>, place: &Place) -> Result<(), Failed> {
        let target = link_name(entry)?;
        replacing(place, || {
            rustix::fs::symlinkat(&target, &place.parent, &place.name)
        })?;
        let (parent, name, flags) = (&place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW);
        if let Some((uid, gid)) = self.owner(entry.header()) {
            let _ = rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags);
        }
        // A symlink's own time matters to nobody.
        let _ = rustix::fs::utimensat(parent, name, &times(entry.header()), flags);
        Ok(())
    }

    /// To a name in the same archive: resolved like any other.
    fn hardlink<R: Read>(&self, entry: &Entry<'_, R>, place: &Place) -> Result<(), Failed> {
        let target = link_name(entry)?;
        check(target.as_bytes())?;
        let source = self.place(target.as_bytes(), false)?;
        if source.entry.is_none() || source.is_directory() {
            return Err(Failed::Refused("a hard link to what is not there"));
        }
        replacing(place, || {
            let (from, to) = (&source, &place);
            rustix::fs::linkat(
                &from.parent,
                &from.name,
                &to.parent,
                &to.name,
                AtFlags::empty(),
            )
        })?;
        Ok(())
    }

    fn dress_directory(&self, place: &Place, header: &Header) -> Result<(), Failed> {
        let Some(entry) = &place.entry else {
            return Ok(());
        };
        let path = proc_path(entry);
        if let Some((uid, gid)) = self.owner(header) {
            let _ = rustix::fs::chown(&path, Some(uid), Some(gid));
        }
        rustix::fs::chmod(&path, mode_of(header))?;
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times(header), AtFlags::empty())?;
        Ok(())
    }

    fn place(&self, name: &[u8], follow: bool) -> Result<Place, Failed> {
        let path = Path {
            path: name.to_vec(),
            ..Path::default()
        };
        let target = self.target.try_clone()?;
        let resolver = Resolver::below(&path, target).map_err(Failed::Place)?;
        resolver.place(follow, Missing::Make).map_err(Failed::Place)
    }

    fn owner(&self, header: &Header) -> Option<(Uid, Gid)> {
        if !self.owners {
            return None;
        }
        let id = |id: io::Result<u64>| u32::try_from(id.ok()?).ok().filter(|id| *id != u32::MAX);
        Some((
            Uid::from_raw(id(header.uid())?),
            Gid::from_raw(id(header.gid())?),
        ))
    }

    fn refusal(&self, what: &str, error: &io::Error) -> Refusal {
        // The tar reader wraps what the pipe said.
        let cancelled = error.kind() == io::ErrorKind::ConnectionAborted;
        if cancelled || Errno::from_io_error(error).is_some() {
            return data::refusal(&self.subject, error);
        }
        Refusal::invalid(format!("{}: {what}: {error}", self.subject))
    }
}

/// Why an entry was not unpacked.
enum Failed {
    Io(io::Error),
    Place(Refusal),
    Refused(&'static str),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Failed {
    fn refusal(self, extract: &Extract, name: &[u8]) -> Refusal {
        let name = String::from_utf8_lossy(name);
        match self {
            Self::Io(error) => extract.refusal(&name, &error),
            Self::Place(refusal) => refusal,
            Self::Refused(why) => Refusal::invalid(format!("{name}: {why}")),
        }
    }
}

fn check(name: &[u8]) -> Result<(), Failed> {
    if name
        .split(|byte| *byte == b'/')
        .any(|component| component == b"..")
    {
        return Err(Failed::Refused("leads out of the archive's directory"));
    }
    Ok(())
}

fn link_name<R: Read>(entry: &Entry<'_, R>) -> Result<CString, Failed> {
    let name = entry
        .link_name_bytes()
        .ok_or(Failed::Refused("a link without a target"))?;
    CString::new(name.into_owned()).map_err(|_| Failed::Refused("a link with a NUL byte"))
}

/// Makes something under a name after removing what is there, unless that is a directory.
fn replacing<T>(
    place: &Place,
    mut make: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    for _ in 0..TRIES {
        match make() {
            Err(Errno::EXIST) => {}
            other => return other,
        }
        match rustix::fs::unlinkat(place.parent.as_fd(), &place.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// Open to its owner until all is unpacked.
fn make_directory(place: &Place) -> rustix::io::Result<()> {
    if place.is_directory() {
        return Ok(());
    }
    replacing(place, || {
        rustix::fs::mkdirat(&place.parent, &place.name, Mode::from_raw_mode(0o700))
    })
}

fn mode_of(header: &Header) -> Mode {
    Mode::from_raw_mode(header.mode().unwrap_or(0o644) & MODE_BITS)
}

fn times(header: &Header) -> Timestamps {
    let seconds = header
        .mtime()
        .ok()
        .and_then(|mtime| i64::try_from(mtime).ok());
    let time = Timespec {
        tv_sec: seconds.unwrap_or(0),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
