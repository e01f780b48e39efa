//! A tar of a path out.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};

use pinfold_proto::Path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::data::{self, Data};
use crate::failure::{Outcome, Refusal};
use crate::files::resolve::{Place, Resolver};
use crate::files::{names, open_directory, shown};

const DEPTH_MAX: usize = 512;
const NAMES_MAX: usize = 1 << 20;
/// Files with several names that are remembered; beyond, they are sent as files of their own.
const LINKS_MAX: usize = 1 << 18;
const BUFFER_BYTES: usize = 128 << 10;
const MODE_BITS: u32 = 0o7777;

pub(super) struct Archive {
    place: Place,
    /// Open where the path is a directory.
    directory: Option<OwnedFd>,
    subject: String,
}

pub(super) fn begin(path: &Path) -> Outcome<Archive> {
    let subject = shown(path);
    let (place, _) = Resolver::new(path)?.existing(!path.no_follow)?;
    let directory = match place.kind() {
        Some(FileType::Directory) => {
            Some(open_directory(&place).map_err(|errno| Refusal::kernel(&subject, errno))?)
        }
        Some(FileType::RegularFile | FileType::Symlink) => None,
        _ => {
            return Err(Refusal::invalid(format!(
                "{subject}: is no file or directory"
            )));
        }
    };
    Ok(Archive {
        place,
        directory,
        subject,
    })
}

impl Archive {
    pub(super) fn run(self, mut data: Data<'_>) -> Outcome<u64> {
        self.send(&mut data)
            .map_err(|error| data::refusal(&self.subject, &error))?;
        Ok(data.bytes)
    }

    fn send(&self, data: &mut Data<'_>) -> io::Result<()> {
        let builder = Builder::new(BufWriter::with_capacity(BUFFER_BYTES, data));
        let mut tar = Tar {
            builder,
            links: HashMap::new(),
        };
        match &self.directory {
            Some(directory) => {
                let stat = rustix::fs::fstat(directory)?;
                tar.directory(directory, FsPath::new("."), &stat, 0)?;
            }
            None => {
                let name = &self.place.name;
                let path = FsPath::new(OsStr::from_bytes(name.as_bytes()));
                tar.entry(self.place.parent.as_fd(), name, path, 0)?;
            }
        }
        tar.builder.into_inner()?.flush()
    }
}

struct Tar<W: Write> {
    builder: Builder<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Tar<W> {
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &FsPath,
        depth: usize,
    ) -> io::Result<()> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Gone since its directory was read.
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let sent = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => open(parent, name, OFlags::DIRECTORY)
                .map_err(io::Error::from)
                .and_then(|directory| self.directory(&directory, path, &stat, depth)),
            FileType::RegularFile => self.file(parent, name, path, &stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                let target = FsPath::new(OsStr::from_bytes(target.as_bytes()));
                self.builder
                    .append_link(&mut header(&stat, EntryType::Symlink), path, target)
            }
            // Pipes, sockets and devices mean nothing elsewhere.
            _ => Ok(()),
        };
        match sent {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &FsPath,
        stat: &Stat,
        depth: usize,
    ) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut header = header(stat, EntryType::Directory);
        self.builder
            .append_data(&mut header, path.join(""), io::empty())?;
        let mut below = names(directory, NAMES_MAX)?;
        below.sort_unstable();
        for name in below {
            let component = OsStr::from_bytes(name.as_bytes());
            // The top is `./`, what is below it has no prefix.
            let path = if depth == 0 {
                PathBuf::from(component)
            } else {
                path.join(component)
            };
            self.entry(directory.as_fd(), &name, &path, depth + 1)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &FsPath,
        stat: &Stat,
    ) -> io::Result<()> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let mut header = header(stat, EntryType::Link);
                return self.builder.append_link(&mut header, path, first);
            }
            if self.links.len() < LINKS_MAX {
                self.links.insert(key, path.to_owned());
            }
        }
        let file = File::from(open(parent, name, OFlags::NONBLOCK | OFlags::NOCTTY)?);
        // What is open now is what is sent: the name may have changed hands.
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let mut header = header(&stat, EntryType::Regular);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        header.set_size(size);
        // A file that shrinks while it is sent is filled up, for its size has been told already.
        let content = file.take(size).chain(io::repeat(0)).take(size);
        self.builder.append_data(&mut header, path, content)
    }
}

fn open(parent: BorrowedFd<'_>, name: &CString, extra: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & MODE_BITS);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}
