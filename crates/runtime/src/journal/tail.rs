//! The end of a journal file, where records are put.
//!
//! A header goes first and announces what it hopes for; then come the bytes. When fewer come, the
//! header is put right, in place and in one aligned word. So at every instant the file is a row of
//! whole records and at most one unfinished record, which [`super::scan`] understands.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{HEADER_BYTES, HEADER_SIZE, Header, LEN_AND_CHECK, align};
use super::source::{Moved, Source};

#[derive(Debug)]
pub(super) struct Tail {
    end: u64,
    condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Clean,
    /// Part of a record that was given up may stand after `end`.
    Untidy,
    /// The last header still announces more than there is, and could not be put right: what
    /// follows it would be taken for its bytes. Nothing may follow until recovery.
    Stuck,
}

impl Tail {
    pub(super) const fn at(end: u64) -> Self {
        Self {
            end,
            condition: Condition::Clean,
        }
    }

    /// File offset after the last whole record.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Where the next header stands.
    pub(super) const fn next(&self) -> u64 {
        align(self.end)
    }

    /// Puts a record and moves its `header.len` bytes into it from `source`. What was moved is in
    /// the journal, also when an error follows.
    pub(super) fn splice(&mut self, file: &File, header: &Header, source: Source<'_>) -> Moved {
        if let Err(error) = self
            .tidy(file)
            .and_then(|()| self.put(file, &header.encode()))
        {
            return Moved {
                bytes: 0,
                error: Some(error),
            };
        }
        let moved = source.move_to(file, self.next() + HEADER_SIZE, header.len as usize);
        self.settle(file, header, moved)
    }

    /// Puts a record with these bytes, `header.len` of them.
    pub(super) fn copy(&mut self, file: &File, header: &Header, bytes: &[u8]) -> Moved {
        if let Err(error) = self.tidy(file) {
            return Moved {
                bytes: 0,
                error: Some(error),
            };
        }
        let whole = [&header.encode(), bytes].concat();
        let (written, error) = write_at(file, &whole, self.next());
        let moved = Moved {
            bytes: written.saturating_sub(HEADER_BYTES),
            error,
        };
        self.settle(file, header, moved)
    }

    /// Puts a mark: all of it or, with an error, nothing.
    pub(super) fn mark(&mut self, file: &File, header: &Header, bytes: &[u8]) -> io::Result<()> {
        self.tidy(file)?;
        let whole = [&header.encode(), bytes].concat();
        self.put(file, &whole)?;
        self.end = self.next() + whole.len() as u64;
        Ok(())
    }

    /// Writes at the end without moving the end.
    fn put(&mut self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let Some(error) = write_at(file, bytes, self.next()).1 else {
            return Ok(());
        };
        self.condition = Condition::Untidy;
        // Gives the space back at once where that works; the next record tries again otherwise.
        let _ = self.tidy(file);
        Err(error)
    }

    /// Makes the record whole that holds `moved.bytes` bytes now.
    fn settle(&mut self, file: &File, header: &Header, moved: Moved) -> Moved {
        let at = self.next();
        if moved.bytes == 0 {
            self.condition = Condition::Untidy;
            let _ = self.tidy(file);
            return moved;
        }
        self.end = at + HEADER_SIZE + moved.bytes as u64;
        let len = u32::try_from(moved.bytes).expect("not more than the header's length");
        if len < header.len && shorten(file, at, &Header { len, ..*header }).is_err() {
            self.condition = Condition::Stuck;
        }
        moved
    }

    fn tidy(&mut self, file: &File) -> io::Result<()> {
        match self.condition {
            Condition::Clean => Ok(()),
            Condition::Untidy => {
                file.set_len(self.end)?;
                self.condition = Condition::Clean;
                Ok(())
            }
            Condition::Stuck => Err(io::Error::other("the last record could not be closed")),
        }
    }
}

/// Rewrites the length of the record at `offset`. The word is aligned, so a process that is killed
/// has written all of it or nothing.
pub(super) fn shorten(file: &File, offset: u64, header: &Header) -> io::Result<()> {
    let word = &header.encode()[LEN_AND_CHECK as usize..];
    file.write_all_at(word, offset + LEN_AND_CHECK)
}

/// Writes as much as possible: how much, and why not all.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}
