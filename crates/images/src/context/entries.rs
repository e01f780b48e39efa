//! The members of a context, or of what another sandbox gave, one after the other. The loop is that
//! of the imports: it bounds what it keeps in memory, whatever the headers say.

use std::io::{self, Read};

use super::index::name_of;
use super::{CONTEXT_MAX_BYTES, ContextError};
use crate::error::ImportError;
use crate::limits::Limits;
use crate::unpack::{Archive, EntryKind, Member};

/// A member with a name, and its content.
pub(super) struct Entry<'a> {
    pub(super) member: Member,
    pub(super) content: &'a mut dyn Read,
}

impl Entry<'_> {
    pub(super) fn is_file(&self) -> bool {
        self.member.kind == EntryKind::File
    }
}

/// Every entry of an uncompressed tar but its top, until the answer is `false`.
///
/// # Errors
/// The archive is malformed, too large, or holds a sparse file; what `visit` answers with.
pub(super) fn for_each(
    source: impl Read,
    mut visit: impl FnMut(&str, Entry<'_>) -> Result<bool, ContextError>,
) -> Result<(), ContextError> {
    let limits = Limits {
        stream_bytes: CONTEXT_MAX_BYTES,
        ..Limits::default()
    };
    let mut archive = Archive::new(source, &limits);
    while let Some(member) = archive.next_member().map_err(unreadable)? {
        let Some(name) = name_of(&member.path)? else {
            continue;
        };
        // Of these a few bytes stand for as many as one likes.
        if member.is_sparse() {
            return Err(ContextError::refused(format!(
                "{name:?} is a sparse file; write the archive without those"
            )));
        }
        let mut content = Content {
            archive: &mut archive,
            failure: None,
        };
        let entry = Entry {
            member,
            content: &mut content,
        };
        let visited = visit(&name, entry);
        // Whoever copies cannot tell a source that fails from a sink that does.
        if let Some(failure) = content.failure {
            return Err(unreadable(failure));
        }
        if !visited? {
            return Ok(());
        }
    }
    Ok(())
}

/// The data of the current member.
struct Content<'a, 'l, R> {
    archive: &'a mut Archive<'l, R>,
    failure: Option<ImportError>,
}

impl<R: Read> Read for Content<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.archive.data(buffer.len() as u64) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the archive cannot be read"))
            }
        }
    }
}

pub(super) fn unreadable(error: ImportError) -> ContextError {
    match error {
        ImportError::Read(cause) => ContextError::Read(cause),
        error => ContextError::refused(error.to_string()),
    }
}
