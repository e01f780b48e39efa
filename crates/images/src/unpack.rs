//! Unpacking a hostile tar beneath one directory.
//!
//! `archive` turns bytes into members and bounds what it keeps in memory; `path` parses names;
//! `tree` is the only place that resolves them, always beneath the root and never through a
//! symbolic link; `writer` makes the files. Knows nothing of stores or OCI documents.

mod archive;
mod header;
mod path;
mod pax;
mod tree;
mod writer;
mod xattr;

use std::io::Read;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use pinfold_model::Digest;

use crate::error::ImportError;
use crate::limits::Limits;
pub(crate) use archive::{Archive, Member};
pub(crate) use header::EntryKind;
use writer::Writer;

pub(crate) use tree::{is_whiteout, lstat};
pub(crate) use writer::{OPAQUE_NAME, WHITEOUT_PREFIX, opaque_xattr};
pub(crate) use xattr::kept;

/// What the tar is, which decides what `.wh.` names mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A root filesystem: whiteout names are refused.
    Rootfs,
    /// One layer of an OCI image: whiteout names become overlayfs whiteouts.
    Layer,
}

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The archive's ids, 0 to 65,535. Takes root.
    Archive,
    /// Whoever runs the import, as an ordinary user must.
    Importer,
}

impl Ownership {
    /// What this process can do.
    #[must_use]
    pub fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Archive
        } else {
            Self::Importer
        }
    }
}

/// What was unpacked, and what was left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Files, directories, links and whiteouts made.
    pub entries: u64,
    /// Sum of the sizes of all files.
    pub size_bytes: u64,
    /// Device nodes below `dev/`: every sandbox has a `/dev` of its own.
    pub skipped_devices: u64,
    /// Extended attributes that an image must not carry or this file system cannot hold.
    pub dropped_xattrs: u64,
    /// Entries whose owner in the archive was another than they have now
    /// ([`Ownership::Importer`]).
    pub foreign_owners: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.size_bytes += other.size_bytes;
        self.skipped_devices += other.skipped_devices;
        self.dropped_xattrs += other.dropped_xattrs;
        self.foreign_owners += other.foreign_owners;
    }
}

/// Unpacks `tar` (uncompressed) beneath `root` and returns the digest of all its bytes, those
/// after the end mark included, which is OCI's diff id.
///
/// # Errors
/// The first hostile, malformed or over-large entry; failures to read or write. The caller removes
/// what is beneath `root` then.
pub(crate) fn unpack(
    tar: impl Read,
    root: OwnedFd,
    kind: Kind,
    ownership: Ownership,
    limits: &Limits,
) -> Result<(Digest, Report), ImportError> {
    let mut archive = Archive::new(Hashing::new(tar), limits);
    let mut writer = Writer::new(root, kind, ownership, limits);
    while let Some(member) = archive.next_member()? {
        writer.write(&member, &mut archive)?;
    }
    if kind == Kind::Rootfs && !archive.has_end_mark() {
        return Err(archive.malformed("the archive ends without its end mark: it is cut off"));
    }
    let hashing = archive.finish()?;
    let report = writer.finish()?;
    Ok((hashing.digest(), report))
}

/// The digest and size of an uncompressed tar, without unpacking it.
///
/// # Errors
/// More than `Limits::stream_bytes`; failures to read.
pub(crate) fn digest_only(tar: impl Read, limits: &Limits) -> Result<Digest, ImportError> {
    let archive = Archive::new(Hashing::new(tar), limits);
    Ok(archive.finish()?.digest())
}

/// The digest of bytes in memory.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// Hashes bytes as they pass.
pub(crate) struct Hashing<R> {
    inner: R,
    sha: Sha256,
}

impl<R> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            sha: Sha256::new(),
        }
    }

    pub(crate) fn digest(self) -> Digest {
        Digest::from_sha256(self.sha.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.sha.update(&buf[..count]);
        Ok(count)
    }
}
