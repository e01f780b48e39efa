//! Makes the files of an archive, one member at a time. Resolves no path itself.

mod links;
mod whiteout;

pub(crate) use whiteout::{OPAQUE_NAME, PREFIX as WHITEOUT_PREFIX, opaque_xattr};

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, SeekFrom, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, ftruncate, futimens, mkfifoat, openat, seek, utimensat,
};
use rustix::io::Errno;

use super::archive::{Archive, Member};
use super::header::EntryKind;
use super::path::EntryPath;
use super::tree::{Fault, Finish, Tree, times};
use super::{Kind, Ownership, Report, xattr};
use crate::error::{ImportError, show};
use crate::limits::{ID_MAX, Limits};
use crate::refusal::Refusal;

pub(super) struct Writer<'l> {
    tree: Tree<'l>,
    kind: Kind,
    ownership: Ownership,
    limits: &'l Limits,
    report: Report,
}

type Owner = Option<(Uid, Gid)>;

impl<'l> Writer<'l> {
    pub(super) fn new(root: OwnedFd, kind: Kind, ownership: Ownership, limits: &'l Limits) -> Self {
        Self {
            tree: Tree::new(root, opaque_xattr(kind, ownership), limits),
            kind,
            ownership,
            limits,
            report: Report::default(),
        }
    }

    pub(super) fn write<R: Read>(
        &mut self,
        member: &Member,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), ImportError> {
        self.entry(member, archive)
            .map_err(|fault| at_entry(&member.path, fault))
    }

    pub(super) fn finish(self) -> Result<Report, ImportError> {
        if self.report.entries == 0 {
            return Err(ImportError::Empty);
        }
        self.tree
            .finish()
            .map_err(|(path, errno)| at_entry(&path, errno.into()))?;
        Ok(self.report)
    }

    fn entry<R: Read>(
        &mut self,
        member: &Member,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), Fault> {
        let path = EntryPath::parse(&member.path, self.limits)?;
        if whiteout::is_whiteout(&path, self.kind)? {
            return self.whiteout(&path);
        }
        if member.kind == EntryKind::Device {
            return self.device(&path);
        }
        if path.is_root() && member.kind != EntryKind::Directory {
            return Err(Refusal::RootNotDirectory.into());
        }
        match member.kind {
            EntryKind::File | EntryKind::SparseFile => self.file(&path, member, archive)?,
            EntryKind::Directory => self.directory(&path, member)?,
            EntryKind::Symlink => self.symlink(&path, member)?,
            EntryKind::Hardlink => self.hardlink(&path, member)?,
            EntryKind::Fifo => self.fifo(&path, member)?,
            EntryKind::Device => {}
            EntryKind::Unknown(flag) => return Err(Refusal::UnknownType(flag.into()).into()),
        }
        self.report.entries += 1;
        Ok(())
    }

    fn device(&mut self, path: &EntryPath) -> Result<(), Fault> {
        if !path.is_below(b"dev") {
            return Err(Refusal::DeviceNode.into());
        }
        self.report.skipped_devices += 1;
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        path: &EntryPath,
        member: &Member,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), Fault> {
        if member.foreign_sparse {
            return Err(Refusal::SparseForm.into());
        }
        self.reserve(
            member
                .sparse
                .as_ref()
                .map_or(member.size, |map| map.real_size),
        )?;
        let owner = self.owner(member)?;
        let parent = self.tree.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let create = || openat(&parent, path.name(), flags | OFlags::NOFOLLOW, Mode::RUSR);
        let file = match create() {
            Err(Errno::EXIST) => {
                self.tree
                    .remove(parent.as_fd(), path.name(), path.as_bytes())?;
                create()?
            }
            other => other?,
        };
        write_data(&file, member, archive)?;
        set_owner(file.as_fd(), owner)?;
        // After the owner, whose change takes away setuid bits and capabilities.
        fchmod(&file, Mode::from_raw_mode(member.mode))?;
        self.set_xattrs(file.as_fd(), member)?;
        futimens(&file, &times(member.mtime))?;
        Ok(())
    }

    fn directory(&mut self, path: &EntryPath, member: &Member) -> Result<(), Fault> {
        let owner = self.owner(member)?;
        let finish = Finish {
            mode: member.mode,
            mtime: Some(member.mtime),
        };
        let directory = if path.is_root() {
            self.tree.root_directory(finish)?
        } else {
            let parent = self.tree.parent(path)?;
            self.tree
                .directory(parent.as_fd(), path.name(), path.as_bytes(), finish)?
        };
        set_owner(directory.as_fd(), owner)?;
        self.set_xattrs(directory.as_fd(), member)
    }

    fn fifo(&mut self, path: &EntryPath, member: &Member) -> Result<(), Fault> {
        let owner = self.owner(member)?;
        let parent = self.tree.parent(path)?;
        let mode = Mode::from_raw_mode(member.mode);
        self.make_way(
            path,
            || mkfifoat(&parent, path.name(), mode),
            parent.as_fd(),
        )?;
        if let Some((uid, gid)) = owner {
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            chownat(&parent, path.name(), Some(uid), Some(gid), nofollow)?;
        }
        // It is the FIFO made above, so there is no link to follow.
        chmodat(&parent, path.name(), mode, AtFlags::empty())?;
        utimensat(
            &parent,
            path.name(),
            &times(member.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        self.report.dropped_xattrs += member.xattrs.len() as u64;
        Ok(())
    }

    /// Runs `make`, after removing what was at `path` if something was.
    fn make_way(
        &mut self,
        path: &EntryPath,
        make: impl Fn() -> Result<(), Errno>,
        parent: BorrowedFd<'_>,
    ) -> Result<(), Fault> {
        match make() {
            Err(Errno::EXIST) => {
                self.tree.remove(parent, path.name(), path.as_bytes())?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    /// Counts a file's size against the limits before anything of it is written.
    fn reserve(&mut self, size: u64) -> Result<(), ImportError> {
        let limit = |what, limit| Err(ImportError::Limit { what, limit });
        if size > self.limits.file_bytes {
            return limit("bytes in one file", self.limits.file_bytes);
        }
        self.report.size_bytes = self.report.size_bytes.saturating_add(size);
        if self.report.size_bytes > self.limits.unpacked_bytes {
            return limit("unpacked bytes", self.limits.unpacked_bytes);
        }
        Ok(())
    }

    fn owner(&mut self, member: &Member) -> Result<Owner, Fault> {
        if self.ownership == Ownership::Importer {
            // Root in the archive becomes the importer, who is root in their sandboxes.
            self.report.foreign_owners += u64::from(member.uid != 0 || member.gid != 0);
            return Ok(None);
        }
        match [member.uid, member.gid].into_iter().find(|id| *id > ID_MAX) {
            Some(id) => Err(Refusal::OwnerOutOfRange(id).into()),
            // Both are at most ID_MAX, so the casts keep them.
            None => Ok(Some((
                Uid::from_raw(member.uid as u32),
                Gid::from_raw(member.gid as u32),
            ))),
        }
    }

    fn set_xattrs(&mut self, fd: BorrowedFd<'_>, member: &Member) -> Result<(), Fault> {
        for (name, value) in &member.xattrs {
            let Some(value) = xattr::kept(name, value) else {
                self.report.dropped_xattrs += 1;
                continue;
            };
            match fsetxattr(fd, name.as_slice(), &value, XattrFlags::empty()) {
                Ok(()) => {}
                // No such attributes on this file system, or capabilities as an ordinary user.
                Err(Errno::OPNOTSUPP | Errno::PERM) => self.report.dropped_xattrs += 1,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

fn set_owner(fd: BorrowedFd<'_>, owner: Owner) -> Result<(), Errno> {
    match owner {
        Some((uid, gid)) => fchown(fd, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn write_data<R: Read>(
    file: &OwnedFd,
    member: &Member,
    archive: &mut Archive<'_, R>,
) -> Result<(), Fault> {
    let Some(map) = &member.sparse else {
        return write_segment(file, archive, member.size);
    };
    ftruncate(file, map.real_size)?;
    for (offset, length) in &map.segments {
        seek(file, SeekFrom::Start(*offset))?;
        write_segment(file, archive, *length)?;
    }
    Ok(())
}

/// Writes the next `length` bytes of the member's data.
fn write_segment<R: Read>(
    file: &OwnedFd,
    archive: &mut Archive<'_, R>,
    mut length: u64,
) -> Result<(), Fault> {
    while length > 0 {
        let mut chunk = archive.data(length)?;
        if chunk.is_empty() {
            return Err(Refusal::SparseMap.into());
        }
        length -= chunk.len() as u64;
        while !chunk.is_empty() {
            let count = rustix::io::retry_on_intr(|| rustix::io::write(file, chunk))?;
            chunk = &chunk[count..];
        }
    }
    Ok(())
}

fn at_entry(name: &[u8], fault: Fault) -> ImportError {
    let entry = show(name);
    match fault {
        Fault::Refused(refusal) => ImportError::Refused { entry, refusal },
        Fault::Import(error) => error,
        Fault::System(errno) => ImportError::Write {
            entry,
            source: io::Error::from(errno),
        },
    }
}
