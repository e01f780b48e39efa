//! Directories beneath the root, and the only place that resolves a path to a descriptor.
//!
//! Resolution is the kernel's (`openat2`, Linux 5.6): beneath the root, through no symbolic link
//! and no mount. Knows no archive format.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
    XattrFlags, fchmod, fsetxattr, futimens, mkdirat, openat, openat2, statat,
};
use rustix::io::Errno;

use super::path::EntryPath;
use crate::error::ImportError;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::remove::remove_tree;

/// Why one entry was not made; the caller adds its name.
#[derive(Debug)]
pub(super) enum Fault {
    Refused(Refusal),
    System(Errno),
    /// Already complete.
    Import(ImportError),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<ImportError> for Fault {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

/// What a directory gets when the archive has ended: before, entries are still put into it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub(super) mode: u32,
    /// `None`: whenever it was last changed.
    pub(super) mtime: Option<(i64, u32)>,
}

/// A directory that the archive uses before, or without, describing it.
const IMPLIED: Finish = Finish {
    mode: 0o755,
    mtime: None,
};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

pub(super) struct Tree<'l> {
    root: Rc<OwnedFd>,
    limits: &'l Limits,
    /// The last parent used: entries of one directory follow each other.
    last_parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    finishes: BTreeMap<Vec<u8>, Finish>,
    finish_path_bytes: u64,
    /// Overlayfs's name for "nothing of the layers below shows here"; `None` where there are no
    /// layers below.
    opaque: Option<&'static CStr>,
}

impl<'l> Tree<'l> {
    pub(super) fn new(root: OwnedFd, opaque: Option<&'static CStr>, limits: &'l Limits) -> Self {
        Self {
            root: Rc::new(root),
            limits,
            last_parent: None,
            finishes: BTreeMap::new(),
            finish_path_bytes: 0,
            opaque,
        }
    }

    /// The directory that `path` is in, made where it is missing.
    pub(super) fn parent(&mut self, path: &EntryPath) -> Result<Rc<OwnedFd>, Fault> {
        let parent = path.parent();
        if parent.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((known, fd)) = &self.last_parent
            && known == parent
        {
            return Ok(Rc::clone(fd));
        }
        let fd = match open_beneath(self.root.as_fd(), parent) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(path)?,
            Err(Errno::LOOP) => return Err(Refusal::ThroughSymlink.into()),
            other => other?,
        };
        let fd = Rc::new(fd);
        self.last_parent = Some((parent.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// The directory that `path` is in, which has to be there already.
    pub(super) fn existing_parent(&self, path: &EntryPath) -> Result<Option<Rc<OwnedFd>>, Fault> {
        if path.parent().is_empty() {
            return Ok(Some(Rc::clone(&self.root)));
        }
        match open_beneath(self.root.as_fd(), path.parent()) {
            Ok(fd) => Ok(Some(Rc::new(fd))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => Err(Refusal::HardlinkThroughSymlink.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes `name` a directory, whatever it was, and opens it for reading.
    ///
    /// Where it replaces something of this layer, or a whiteout, the layers below must not show
    /// through it.
    pub(super) fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        finish: Finish,
    ) -> Result<OwnedFd, Fault> {
        let made = match mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => {
                let there = lstat(parent, name)?;
                if there.is_some_and(|stat| is(&stat, FileType::Directory)) {
                    Made::Already
                } else {
                    self.remove(parent, name, path)?;
                    mkdirat(parent, name, Mode::RWXU)?;
                    Made::Instead
                }
            }
            other => {
                other?;
                Made::New
            }
        };
        let fd = openat(parent, name, OFlags::RDONLY | DIRECTORY, Mode::empty())?;
        if matches!(made, Made::Instead) {
            self.set_opaque(fd.as_fd())?;
        }
        self.finish_later(path, finish)?;
        Ok(fd)
    }

    /// The root itself, for reading.
    pub(super) fn root_directory(&mut self, finish: Finish) -> Result<OwnedFd, Fault> {
        self.finish_later(b"", finish)?;
        Ok(self.root.try_clone().map_err(|_| Errno::MFILE)?)
    }

    /// Removes whatever is at `name`, so that something else can take its place.
    pub(super) fn remove(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Fault> {
        remove_tree(parent, name)?;
        self.last_parent = None;
        self.forget(path);
        Ok(())
    }

    pub(super) fn set_opaque(&self, directory: BorrowedFd<'_>) -> Result<(), Fault> {
        if let Some(name) = self.opaque {
            fsetxattr(directory, name, b"y", XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Gives every directory its mode and time, the deepest first: a directory may be about to
    /// lose the rights that reaching into it takes.
    pub(super) fn finish(mut self) -> Result<(), (Vec<u8>, Errno)> {
        self.last_parent = None;
        for (path, finish) in std::mem::take(&mut self.finishes).into_iter().rev() {
            self.apply(&path, finish).map_err(|errno| (path, errno))?;
        }
        Ok(())
    }

    fn apply(&self, path: &[u8], finish: Finish) -> Result<(), Errno> {
        let opened = match path {
            b"" => None,
            _ => Some(open_beneath_for_reading(self.root.as_fd(), path)?),
        };
        let fd = opened.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        fchmod(fd, Mode::from_raw_mode(finish.mode))?;
        match finish.mtime {
            Some(mtime) => futimens(fd, &times(mtime)),
            None => Ok(()),
        }
    }

    fn make_parents(&mut self, path: &EntryPath) -> Result<OwnedFd, Fault> {
        let parent = EntryPath::parse(path.parent(), self.limits)?;
        let mut at: Option<OwnedFd> = None;
        let mut done = Vec::with_capacity(parent.as_bytes().len());
        for component in parent.components() {
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(component);
            let root = Rc::clone(&self.root);
            let above = at.as_ref().map_or(root.as_fd(), AsFd::as_fd);
            at = Some(self.step(above, component, &done)?);
        }
        at.ok_or(Fault::System(Errno::INVAL))
    }

    /// One component down, made where it is missing or only a whiteout.
    fn step(&mut self, above: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, Fault> {
        match lstat(above, name)? {
            None => self.directory(above, name, path, IMPLIED),
            Some(stat) if is_whiteout(&stat) => self.directory(above, name, path, IMPLIED),
            Some(stat) if is(&stat, FileType::Directory) => Ok(openat(
                above,
                name,
                OFlags::PATH | DIRECTORY,
                Mode::empty(),
            )?),
            Some(stat) if is(&stat, FileType::Symlink) => Err(Refusal::ThroughSymlink.into()),
            Some(_) => Err(Refusal::ThroughFile.into()),
        }
    }

    fn finish_later(&mut self, path: &[u8], finish: Finish) -> Result<(), Fault> {
        if self.finishes.insert(path.to_vec(), finish).is_none() {
            self.finish_path_bytes += path.len() as u64;
        }
        if self.finish_path_bytes > self.limits.directory_path_bytes {
            return Err(Fault::Import(ImportError::Limit {
                what: "bytes of directory names",
                limit: self.limits.directory_path_bytes,
            }));
        }
        Ok(())
    }

    /// Forgets what `path` and the directories below it were to get.
    fn forget(&mut self, path: &[u8]) {
        let below = [path, b"/"].concat();
        let after = [path, b"0"].concat(); // '0' follows '/' in ASCII
        let mut gone: Vec<Vec<u8>> = self
            .finishes
            .range(below..after)
            .map(|(path, _)| path.clone())
            .collect();
        gone.push(path.to_vec());
        for path in gone {
            if self.finishes.remove(&path).is_some() {
                self.finish_path_bytes -= path.len() as u64;
            }
        }
    }
}

enum Made {
    New,
    Already,
    Instead,
}

fn open_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    resolve(root, path, OFlags::PATH)
}

fn open_beneath_for_reading(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    resolve(root, path, OFlags::RDONLY)
}

fn resolve(root: BorrowedFd<'_>, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // Without NOFOLLOW, which would make a link at the end an ENOTDIR instead of an ELOOP.
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || openat2(root, path, flags, Mode::empty(), how);
    rustix::io::retry_on_intr(open)
}

/// What is at `name` itself, if anything.
pub(crate) fn lstat(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Overlayfs's mark for "removed here": a character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    is(stat, FileType::CharacterDevice) && stat.st_rdev == 0
}

/// The modification time alone.
pub(super) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        },
    }
}
