//! What a context holds, and what each part of it hashes to.

use std::collections::BTreeMap;
use std::io::Read;

use sha2::{Digest, Sha256};

use super::{
    CONTEXT_DEPTH_MAX, CONTEXT_ENTRIES_MAX, ContextError, IGNORE_MAX_BYTES, Ignore, MATCHING_MAX,
    NAMES_MAX_BYTES, entries,
};
use crate::codec::decompressed;
use crate::limits::PATH_MAX_BYTES;
use crate::unpack::{EntryKind, Member};

const BUFFER_BYTES: usize = 128 << 10;
const IGNORE_FILE: &str = ".dockerignore";
/// Enough to see that content is an archive: a tar's magic stands at 257.
const HEAD_BYTES: usize = 512;

/// What was read of a context: names, kinds and hashes; no content.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub(super) entries: BTreeMap<String, Entry>,
    ignore: Ignore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File {
        sha256: [u8; 32],
        /// It looks like a tar, compressed or not.
        is_archive: bool,
        /// Under which name its content stands in the archive.
        stored: String,
    },
    Symlink(String),
}

impl Context {
    /// Reads a context to its end: a tar, plain, gzip or zstd. Its `.dockerignore` applies.
    ///
    /// # Errors
    /// It is broken, too large, or holds what no build should be given.
    pub fn read(source: impl Read) -> Result<Self, ContextError> {
        let source = decompressed(source)
            .map_err(|error| ContextError::refused(format!("the context: {error}")))?;
        let mut context = Self::default();
        let mut names = 0;
        let mut ignore = None;
        entries::for_each(source, |name, mut entry| {
            let member = &entry.member;
            names += name.len() + member.link.len();
            if context.entries.len() >= CONTEXT_ENTRIES_MAX || names > NAMES_MAX_BYTES {
                return Err(ContextError::refused(format!(
                    "the context holds more than {CONTEXT_ENTRIES_MAX} entries, or names that are too long"
                )));
            }
            let mode = member.mode;
            let kind = match member.kind {
                EntryKind::Directory => Kind::Directory,
                EntryKind::File => {
                    let keep = (name == IGNORE_FILE).then_some(&mut ignore);
                    content(&mut entry.content, name, keep)?
                }
                EntryKind::Symlink => Kind::Symlink(link_of(member, name)?),
                EntryKind::Hardlink => context.linked(name, &link_of(member, name)?)?,
                EntryKind::SparseFile
                | EntryKind::Fifo
                | EntryKind::Device
                | EntryKind::Unknown(_) => {
                    return Err(ContextError::refused(format!(
                        "the context holds {name:?}, which is no file, directory or link"
                    )));
                }
            };
            context
                .entries
                .insert(name.to_owned(), Entry { mode, kind });
            Ok(true)
        })?;
        if let Some(text) = ignore {
            let text = String::from_utf8_lossy(&text);
            context.ignore = Ignore::parse(&text).map_err(ContextError::Refused)?;
            context.leave_out()?;
        }
        Ok(context)
    }

    /// Forgets what the rules leave out.
    fn leave_out(&mut self) -> Result<(), ContextError> {
        let cost = self.ignore.cost(self.entries.keys().map(String::as_str));
        if cost > MATCHING_MAX {
            return Err(ContextError::refused(
                "the context has too many names for so many rules of its .dockerignore",
            ));
        }
        let mut walk = self.ignore.walk();
        self.entries.retain(|name, _| !walk.excludes(name));
        Ok(())
    }

    /// A second name of a file that came before it.
    fn linked(&self, name: &str, target: &str) -> Result<Kind, ContextError> {
        let target = name_of(target.as_bytes())?.unwrap_or_default();
        match self.entries.get(&target).map(|entry| &entry.kind) {
            Some(kind @ Kind::File { .. }) => Ok(kind.clone()),
            _ => Err(ContextError::refused(format!(
                "the context holds {name:?}, a hard link to {target:?}, which is no file in it"
            ))),
        }
    }
}

/// Hashes a file; keeps its bytes where they are wanted.
fn content(
    entry: &mut impl Read,
    name: &str,
    mut keep: Option<&mut Option<Vec<u8>>>,
) -> Result<Kind, ContextError> {
    let mut hasher = Sha256::new();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut kept = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ContextError::Read(error)),
        };
        let bytes = &buffer[..read];
        hasher.update(bytes);
        head.extend(bytes.iter().take(HEAD_BYTES - head.len()));
        if keep.is_some() {
            kept.extend_from_slice(bytes);
            if kept.len() as u64 > IGNORE_MAX_BYTES {
                return Err(ContextError::refused(format!("{name} is too large")));
            }
        }
    }
    if let Some(keep) = keep.take() {
        *keep = Some(kept);
    }
    Ok(Kind::File {
        sha256: hasher.finalize().into(),
        is_archive: is_archive(&head),
        stored: name.to_owned(),
    })
}

/// By its first bytes, as `ADD` judges it. Compressions that are not read count, so that they are
/// refused rather than copied as they are.
fn is_archive(head: &[u8]) -> bool {
    let magic: [&[u8]; 5] = [
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        b"LZIP",
    ];
    magic.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

/// A name within a context: `None` for its top.
pub(super) fn name_of(bytes: &[u8]) -> Result<Option<String>, ContextError> {
    let shown = String::from_utf8_lossy(bytes);
    let refused = |why: &str| {
        Err(ContextError::refused(format!(
            "the context holds {shown:?}, which {why}"
        )))
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refused("is not UTF-8");
    };
    if text.starts_with('/') {
        return refused("is no relative path");
    }
    if text.contains('\0') || text.len() > PATH_MAX_BYTES {
        return refused("is no path");
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.contains(&"..") {
        return refused("leads out of it");
    }
    if parts.len() > CONTEXT_DEPTH_MAX {
        return refused("is nested too deep");
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

fn link_of(member: &Member, name: &str) -> Result<String, ContextError> {
    let target = Some(&member.link).filter(|target| !target.is_empty());
    let target = target.and_then(|target| std::str::from_utf8(target).ok());
    let target = target.filter(|target| target.len() <= PATH_MAX_BYTES);
    target.map(str::to_owned).ok_or_else(|| {
        ContextError::refused(format!(
            "the context holds {name:?}, a link without a readable target"
        ))
    })
}
