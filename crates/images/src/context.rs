//! Contexts of builds: tars, plain or compressed, that callers send. Hostile by assumption: read as
//! streams, within the bounds below, and never put on this machine's disk. What is copied out of one is a new tar,
//! made here entry by entry, which the guest of a sandbox unpacks.
//!
//! A context is read once to know what it holds and what that hashes to, and once more for each
//! copy that is really made.

mod entries;
mod ignore;
mod index;
mod recast;
mod select;
#[cfg(test)]
mod tests;

use std::io;

pub use ignore::{Ignore, Pattern, wildcard};
pub use index::Context;
pub use recast::{Owner, Style, files, recast, unpacked, written};
pub use select::Selection;

/// Entries of a context at most.
pub const CONTEXT_ENTRIES_MAX: usize = 500_000;
/// Names of a path of it at most, one below the other.
pub const CONTEXT_DEPTH_MAX: usize = 256;
/// Bytes of a context at most, once decompressed; also of one archive that is unpacked out of it.
pub(crate) const CONTEXT_MAX_BYTES: u64 = 64 << 30;
/// Bytes of all its names and link targets; also of all names that one copy selects.
pub(crate) const NAMES_MAX_BYTES: usize = 128 << 20;
/// Bytes of names times bytes of patterns that are matched with them: some minutes at the worst.
pub(crate) const MATCHING_MAX: u64 = 1 << 36;
/// Bytes of its `.dockerignore`.
pub(crate) const IGNORE_MAX_BYTES: u64 = 1 << 20;

/// Why a context cannot be used, or a copy out of it not be made.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// In words for who sent it.
    #[error("{0}")]
    Refused(String),
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the copy broke off")]
    Write(#[source] io::Error),
}

impl ContextError {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}
