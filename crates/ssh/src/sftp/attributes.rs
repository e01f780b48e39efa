//! What a file is, in the words of SFTP.

use pinfold_engine::{FileEntry, FileKind};
use russh_sftp::protocol::{File, FileAttributes};

/// Of st_mode: see inode(7).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const SOCKET: u32 = 0o140_000;
/// Permission bits, setuid, setgid and sticky included.
const MODE: u32 = 0o7777;
/// What others may not do to a new file, as with every shell's default.
const UMASK: u32 = 0o022;

pub(super) fn attributes(entry: &FileEntry) -> FileAttributes {
    let kind = match entry.kind {
        FileKind::File => REGULAR,
        FileKind::Directory => DIRECTORY,
        FileKind::Symlink => SYMLINK,
        // Not told apart inside; none of them can be copied.
        FileKind::Other => SOCKET,
    };
    // The protocol's times end in 2106.
    let modified = u32::try_from(entry.modified_at.as_second().max(0)).unwrap_or(u32::MAX);
    let mut attributes = FileAttributes::empty();
    attributes.size = Some(entry.size_bytes);
    attributes.uid = Some(entry.uid);
    attributes.gid = Some(entry.gid);
    attributes.permissions = Some(kind | (entry.mode & MODE));
    attributes.atime = Some(modified);
    attributes.mtime = Some(modified);
    attributes
}

pub(super) fn listed(entry: &FileEntry) -> File {
    File::new(entry.name.clone(), attributes(entry))
}

/// The mode that a client wishes for, as it is.
pub(super) fn wished_mode(attributes: &FileAttributes) -> Option<u32> {
    attributes.permissions.map(|mode| mode & MODE)
}

/// The same for what is made.
pub(super) fn mode_of_new(attributes: &FileAttributes) -> Option<u32> {
    wished_mode(attributes).map(|mode| mode & 0o777 & !UMASK)
}
