//! One layer: a tree in overlayfs's form as a tar in OCI's (image-spec, layer.md).
//!
//! Entries come in the file system's order, which stays the same while nothing changes. What a name
//! in a header cannot hold (long paths, attributes) goes into a PAX record before it.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat, readlinkat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::{ExportError, LayerTree};
use crate::error::show;
use crate::limits::{Limits, PATH_MAX_BYTES};
use crate::unpack::{
    Kind, OPAQUE_NAME, Ownership, WHITEOUT_PREFIX, is_whiteout, kept, lstat, opaque_xattr,
};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// A FIFO that took a file's place must not be waited for.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of Linux.
const ATTRIBUTE_BYTES: usize = 64 << 10;

/// Writes the tree as a whole tar.
pub(super) fn write(tree: &LayerTree, to: impl Write) -> Result<(), ExportError> {
    let root = rustix::fs::open(&tree.path, DIRECTORY, Mode::empty());
    let root = root.map_err(|errno| unreadable(b".", errno))?;
    let mut layer = Layer {
        tar: Builder::new(to),
        tree,
        limits: Limits::default(),
        opaque: opaque_xattr(Kind::Layer, Ownership::of_this_process()),
        entries: 0,
        bytes: 0,
        links: HashMap::new(),
        link_bytes: 0,
    };
    let stat = fstat(&root).map_err(|errno| unreadable(b".", errno))?;
    layer.directory(&root, &stat, b"./")?;
    layer.directories(root)?;
    layer.tar.into_inner()?;
    Ok(())
}

struct Layer<'t, W: Write> {
    tar: Builder<W>,
    tree: &'t LayerTree,
    limits: Limits,
    opaque: Option<&'static std::ffi::CStr>,
    entries: u64,
    /// Of all files so far, holes included.
    bytes: u64,
    /// Where a file with further names was written first.
    links: HashMap<(u64, u64), Vec<u8>>,
    link_bytes: u64,
}

/// A directory that is being read.
struct Level {
    dir: Dir,
    path: Vec<u8>,
}

impl<W: Write> Layer<'_, W> {
    /// One descriptor a level, no recursion.
    fn directories(&mut self, root: OwnedFd) -> Result<(), ExportError> {
        let mut levels = vec![Level::new(root, Vec::new())?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.next()? else {
                levels.pop();
                continue;
            };
            let path = level.path_of(&name)?;
            let below = self.entry(level.fd()?, &name, &path)?;
            if let Some(below) = below {
                if levels.len() == self.limits.depth {
                    return Err(unspeakable(&path, "it lies deeper than any import takes"));
                }
                levels.push(Level::new(below, path)?);
            }
        }
        Ok(())
    }

    /// Writes what is at `name`; a directory is returned for what is in it.
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
    ) -> Result<Option<OwnedFd>, ExportError> {
        if self
            .tree
            .without
            .iter()
            .any(|without| without.as_bytes() == path)
        {
            return Ok(None);
        }
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return Err(unspeakable(
                path,
                "in a layer that name means a removal; rename it",
            ));
        }
        self.count()?;
        let stat = lstat(parent, name.as_bytes()).map_err(|errno| unreadable(path, errno))?;
        // Gone: the second reading tells.
        let Some(stat) = stat else { return Ok(None) };
        let open = |flags| {
            openat(parent, name, flags, Mode::empty()).map_err(|errno| unreadable(path, errno))
        };
        match FileType::from_raw_mode(stat.st_mode) {
            _ if is_whiteout(&stat) => self.whiteout(path)?,
            FileType::Directory => {
                let fd = open(DIRECTORY)?;
                self.directory(&fd, &stat, path)?;
                return Ok(Some(fd));
            }
            FileType::RegularFile => {
                let linked = self.is_linked(&stat, path)?;
                if !linked {
                    self.file(open(FILE)?.into(), path)?;
                }
            }
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())
                    .map_err(|errno| unreadable(path, errno))?;
                self.put(
                    &stat,
                    EntryType::Symlink,
                    path,
                    Extras::to(target.as_bytes()),
                )?;
            }
            FileType::Fifo => self.put(&stat, EntryType::Fifo, path, Extras::default())?,
            FileType::CharacterDevice => {
                self.put(&stat, EntryType::Char, path, Extras::default())?;
            }
            FileType::BlockDevice => self.put(&stat, EntryType::Block, path, Extras::default())?,
            // Nothing listens at a socket of an image, and no tar holds one.
            _ => {}
        }
        Ok(None)
    }

    fn directory(&mut self, fd: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), ExportError> {
        let attributes = attributes(fd.as_fd(), path)?;
        let extras = Extras {
            attributes,
            ..Extras::default()
        };
        self.put(stat, EntryType::Directory, path, extras)?;
        let Some(opaque) = self.opaque else {
            return Ok(());
        };
        let mut value = [0; 8];
        match fgetxattr(fd, opaque, &mut value) {
            Ok(1) if value[0] == b'y' => self.mark(&[path, b"/", OPAQUE_NAME].concat()),
            _ => Ok(()),
        }
    }

    fn file(&mut self, file: File, path: &[u8]) -> Result<(), ExportError> {
        let stat = fstat(&file).map_err(|errno| unreadable(path, errno))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(size);
        let limit = self.limits.unpacked_bytes;
        if self.bytes > limit {
            return Err(ExportError::Limit {
                what: "bytes of files in one layer",
                limit,
            });
        }
        let extras = Extras {
            attributes: attributes(file.as_fd(), path)?,
            ..Extras::default()
        };
        let header = self.header(&stat, EntryType::Regular, path, extras)?;
        let bytes = header.size()?;
        let content = Whole { file, left: bytes };
        Ok(self.tar.append(&header, content)?)
    }

    /// Writes a file that was written under another name as a link to that.
    fn is_linked(&mut self, stat: &Stat, path: &[u8]) -> Result<bool, ExportError> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let file = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&file).cloned() {
            self.put(stat, EntryType::Link, path, Extras::to(&first))?;
            return Ok(true);
        }
        self.link_bytes += path.len() as u64;
        let limit = self.limits.directory_path_bytes;
        if self.link_bytes > limit {
            return Err(ExportError::Limit {
                what: "bytes of names of linked files",
                limit,
            });
        }
        self.links.insert(file, path.to_vec());
        Ok(false)
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), ExportError> {
        let at = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        self.mark(&[&path[..at], WHITEOUT_PREFIX, &path[at..]].concat())
    }

    /// An empty file whose name says everything.
    fn mark(&mut self, path: &[u8]) -> Result<(), ExportError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        self.append(header, path, Extras::default())
    }

    fn put(
        &mut self,
        stat: &Stat,
        kind: EntryType,
        path: &[u8],
        extras: Extras,
    ) -> Result<(), ExportError> {
        let header = self.header(stat, kind, path, extras)?;
        Ok(self.tar.append(&header, io::empty())?)
    }

    fn append(&mut self, header: Header, path: &[u8], extras: Extras) -> Result<(), ExportError> {
        let header = self.named(header, path, extras)?;
        Ok(self.tar.append(&header, io::empty())?)
    }

    fn header(
        &mut self,
        stat: &Stat,
        kind: EntryType,
        path: &[u8],
        extras: Extras,
    ) -> Result<Header, ExportError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        let is_file = kind == EntryType::Regular;
        header.set_size(if is_file {
            u64::try_from(stat.st_size).unwrap_or(0)
        } else {
            0
        });
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(rustix::fs::major(stat.st_rdev))?;
            header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
        }
        self.named(header, path, extras)
    }

    /// Gives the header its names, and writes before it what it has no room for.
    fn named(
        &mut self,
        mut header: Header,
        path: &[u8],
        extras: Extras,
    ) -> Result<Header, ExportError> {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        if header.set_path(Path::new(OsStr::from_bytes(path))).is_err() {
            header.set_path("long")?;
            records.push(("path".to_owned(), path.to_vec()));
        }
        if let Some(target) = extras.target
            && header.set_link_name_literal(&target).is_err()
        {
            records.push(("linkpath".to_owned(), target));
        }
        let attributes = extras.attributes.into_iter();
        records.extend(attributes.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value)));
        if !records.is_empty() {
            let records = records
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.tar.append_pax_extensions(records)?;
        }
        header.set_cksum();
        Ok(header)
    }

    fn count(&mut self) -> Result<(), ExportError> {
        self.entries += 1;
        let limit = self.limits.entries;
        if self.entries > limit {
            return Err(ExportError::Limit {
                what: "files in one layer",
                limit,
            });
        }
        Ok(())
    }
}

/// What a header is not made of by itself.
#[derive(Default)]
struct Extras {
    target: Option<Vec<u8>>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Extras {
    fn to(target: &[u8]) -> Self {
        Self {
            target: Some(target.to_vec()),
            attributes: Vec::new(),
        }
    }
}

impl Level {
    fn new(fd: OwnedFd, path: Vec<u8>) -> Result<Self, ExportError> {
        let dir = Dir::new(fd).map_err(|errno| unreadable(&path, errno))?;
        Ok(Self { dir, path })
    }

    fn fd(&self) -> Result<BorrowedFd<'_>, ExportError> {
        self.dir.fd().map_err(|errno| unreadable(&self.path, errno))
    }

    fn next(&mut self) -> Result<Option<CString>, ExportError> {
        loop {
            let Some(entry) = self.dir.read() else {
                return Ok(None);
            };
            let entry = entry.map_err(|errno| unreadable(&self.path, errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(Some(entry.file_name().to_owned()));
            }
        }
    }

    fn path_of(&self, name: &CString) -> Result<Vec<u8>, ExportError> {
        let path = match self.path.as_slice() {
            b"" => name.as_bytes().to_vec(),
            above => [above, b"/", name.as_bytes()].concat(),
        };
        if path.len() > PATH_MAX_BYTES {
            return Err(unspeakable(
                &path,
                "its path is longer than any import takes",
            ));
        }
        Ok(path)
    }
}

/// Exactly as many bytes as the header says.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = Read::by_ref(&mut self.file).take(self.left).read(into)?;
        if read == 0 && self.left > 0 && !into.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Those that an image may carry.
fn attributes(fd: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let mut names = vec![0; ATTRIBUTE_BYTES];
    let length = match flistxattr(fd, &mut names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(unreadable(path, errno)),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        // A PAX record ends its key at the first `=`.
        if name.is_empty() || name.contains('=') {
            continue;
        }
        let mut value = vec![0; ATTRIBUTE_BYTES];
        let length = fgetxattr(fd, name, &mut value).map_err(|errno| unreadable(path, errno))?;
        if let Some(value) = kept(name.as_bytes(), &value[..length]) {
            found.push((name.to_owned(), value));
        }
    }
    Ok(found)
}

fn unreadable(path: &[u8], errno: Errno) -> ExportError {
    ExportError::Read {
        path: show(path),
        source: errno.into(),
    }
}

fn unspeakable(path: &[u8], problem: &'static str) -> ExportError {
    ExportError::Unspeakable {
        path: show(path),
        problem,
    }
}
