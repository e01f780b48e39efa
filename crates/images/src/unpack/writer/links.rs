//! Symbolic and hard links. What a symbolic link points at is never looked at; what a hard link
//! names has to be in the archive before it.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, chownat, linkat, symlinkat, utimensat};
use rustix::io::Errno;

use super::Writer;
use crate::limits::PATH_MAX_BYTES;
use crate::refusal::Refusal;
use crate::unpack::archive::Member;
use crate::unpack::path::EntryPath;
use crate::unpack::tree::{Fault, is, lstat, times};

impl Writer<'_> {
    pub(super) fn symlink(&mut self, path: &EntryPath, member: &Member) -> Result<(), Fault> {
        let target = member.link.as_slice();
        if target.is_empty() || target.len() > PATH_MAX_BYTES || target.contains(&0) {
            return Err(Refusal::LinkTarget.into());
        }
        let owner = self.owner(member)?;
        let parent = self.tree.parent(path)?;
        self.make_way(
            path,
            || symlinkat(target, &parent, path.name()),
            parent.as_fd(),
        )?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = owner {
            chownat(&parent, path.name(), Some(uid), Some(gid), nofollow)?;
        }
        utimensat(&parent, path.name(), &times(member.mtime), nofollow)?;
        self.report.dropped_xattrs += member.xattrs.len() as u64;
        Ok(())
    }

    pub(super) fn hardlink(&mut self, path: &EntryPath, member: &Member) -> Result<(), Fault> {
        let target = match EntryPath::parse(&member.link, self.limits) {
            Ok(target) if !target.is_root() => target,
            Err(Refusal::AbsolutePath | Refusal::ParentComponent) => {
                return Err(Refusal::HardlinkEscapes.into());
            }
            _ => return Err(Refusal::LinkTarget.into()),
        };
        if target == *path {
            return Err(Refusal::HardlinkToItself.into());
        }
        let Some(from) = self.tree.existing_parent(&target)? else {
            return Err(Refusal::HardlinkTargetMissing.into());
        };
        let Some(source) = lstat(from.as_fd(), target.name())? else {
            return Err(Refusal::HardlinkTargetMissing.into());
        };
        // A link to a symbolic link is a second name of that link: nothing is followed.
        let linkable = [FileType::RegularFile, FileType::Symlink, FileType::Fifo];
        if !linkable.iter().any(|kind| is(&source, *kind)) {
            return Err(Refusal::HardlinkTargetKind.into());
        }
        let parent = self.tree.parent(path)?;
        if let Some(there) = lstat(parent.as_fd(), path.name())?
            && (there.st_dev, there.st_ino) == (source.st_dev, source.st_ino)
        {
            return Ok(());
        }
        let link = || linkat(&from, target.name(), &parent, path.name(), AtFlags::empty());
        match self.make_way(path, link, parent.as_fd()) {
            // Making way removed the directory that the target was in.
            Err(Fault::System(Errno::NOENT)) => Err(Refusal::HardlinkTargetMissing.into()),
            other => other,
        }
    }
}
