//! OCI's whiteouts (image-spec, layer.md, "Whiteouts") in overlayfs's form.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags, mknodat, openat};

use super::Writer;
use crate::refusal::Refusal;
use crate::unpack::path::EntryPath;
use crate::unpack::tree::{Fault, is, lstat};
use crate::unpack::{Kind, Ownership};

pub(crate) const PREFIX: &[u8] = b".wh.";
pub(crate) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether the entry is a whiteout; refuses names that only look like one.
pub(super) fn is_whiteout(path: &EntryPath, kind: Kind) -> Result<bool, Refusal> {
    let special = |component: &[u8]| component.starts_with(PREFIX);
    if !path.components().any(special) {
        return Ok(false);
    }
    if kind == Kind::Rootfs {
        return Err(Refusal::WhiteoutInRootfs);
    }
    let inside_one = path.parent().split(|b| *b == b'/').any(special);
    let name = path.name();
    let hidden = name.strip_prefix(PREFIX).unwrap_or_default();
    let names_nothing = matches!(hidden, b"" | b"." | b"..");
    let nested = name != OPAQUE_NAME && special(hidden);
    if inside_one || names_nothing || nested {
        return Err(Refusal::WhiteoutName);
    }
    Ok(true)
}

/// Overlayfs reads `user.overlay.*` when an ordinary user mounts it (`userxattr`), else
/// `trusted.overlay.*`, which only root can write (kernel, filesystems/overlayfs.rst).
pub(crate) fn opaque_xattr(kind: Kind, ownership: Ownership) -> Option<&'static CStr> {
    match (kind, ownership) {
        (Kind::Rootfs, _) => None,
        (Kind::Layer, Ownership::Archive) => Some(c"trusted.overlay.opaque"),
        (Kind::Layer, Ownership::Importer) => Some(c"user.overlay.opaque"),
    }
}

impl Writer<'_> {
    /// A whiteout hides what layers below have. What this layer itself has at that name stays, in
    /// whatever order the two come.
    pub(super) fn whiteout(&mut self, path: &EntryPath) -> Result<(), Fault> {
        let parent = self.tree.parent(path)?;
        self.report.entries += 1;
        if path.name() == OPAQUE_NAME {
            let here = openat(&parent, c".", OPEN_DIRECTORY, Mode::empty())?;
            return self.tree.set_opaque(here.as_fd());
        }
        let name = &path.name()[PREFIX.len()..];
        match lstat(parent.as_fd(), name)? {
            None => mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)?,
            Some(stat) if is(&stat, FileType::Directory) => {
                let own = openat(&parent, name, OPEN_DIRECTORY, Mode::empty())?;
                self.tree.set_opaque(own.as_fd())?;
            }
            Some(_) => {}
        }
        Ok(())
    }
}
