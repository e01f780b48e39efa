//! Follows a journal: gives what is there, then waits for more, without polling and without ever
//! holding up the writer.

use std::sync::Arc;

use pinfold_model::journal::{Record, RecordBody, Stream};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::cursor::{Cursor, Entry, ReadError};
use super::format::Kind;
use super::handle::Journal;
use super::status::{Feed, Status};

/// Reads one journal from some place on. Holds at most one record (1 MiB) and 64 KiB of read-ahead.
///
/// It ends with the End record, or after the last late output if asked to go [past
/// it](Self::past_end); a journal without End that nobody writes ends with its last record.
#[derive(Debug)]
pub struct JournalReader {
    cursor: Cursor,
    status: watch::Receiver<Status>,
    after_seq: u64,
    only: Option<Stream>,
    /// Of the stream in `only`, what is before this byte is left out.
    from_byte: u64,
    past_end: bool,
}

/// Why copying a stream stopped.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("reading the stream failed")]
    Read(#[from] ReadError),
    #[error("the receiver of the stream failed")]
    Write(#[source] std::io::Error),
}

impl JournalReader {
    /// Everything after record `after_seq`. When that one does not exist yet, its successors are
    /// waited for.
    pub(super) fn after(journal: Arc<Journal>, after_seq: u64) -> Self {
        let status = journal.watch();
        let cursor = Cursor::near_seq(journal, after_seq.saturating_add(1));
        Self {
            cursor,
            status,
            after_seq,
            only: None,
            from_byte: 0,
            past_end: false,
        }
    }

    /// One stream from byte `from_byte` on, and all marks from there. The first record is cut when
    /// that byte lies within it.
    pub(super) fn from_byte(journal: Arc<Journal>, stream: Stream, from_byte: u64) -> Self {
        let status = journal.watch();
        let cursor = Cursor::near_byte(journal, stream, from_byte);
        Self {
            cursor,
            status,
            after_seq: 0,
            only: Some(stream),
            from_byte,
            past_end: false,
        }
    }

    /// Leaves the output of the other stream out.
    #[must_use]
    pub fn only(mut self, stream: Stream) -> Self {
        self.only = Some(stream);
        self
    }

    /// Goes on after End, with what background children of the command still write, until all of
    /// them have closed its output or it is no longer listened to.
    #[must_use]
    pub fn past_end(mut self) -> Self {
        self.past_end = true;
        self
    }

    /// The next record, waited for; `None` at the end. Can be dropped while it waits without losing
    /// anything.
    ///
    /// Reads from the page cache as a rule; a journal of long ago may have to come from the disk,
    /// 1 MiB at most, on the calling thread.
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            tokio::task::coop::consume_budget().await;
            let status = *self.status.borrow_and_update();
            if let Some(record) = self.step(&status)? {
                return Ok(Some(record));
            }
            if self.is_done(&status) || self.status.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next record if there is one now.
    pub fn try_next(&mut self) -> Result<Option<Record>, ReadError> {
        let status = *self.status.borrow_and_update();
        self.step(&status)
    }

    /// The last sequence number passed: a reader made with it goes on from here.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.cursor.place().seq - 1
    }

    /// The bytes of `stream` passed: a stream reader made with it goes on from here.
    #[must_use]
    pub const fn byte_position(&self, stream: Stream) -> u64 {
        self.cursor.place().before.of(stream)
    }

    /// Writes the output that this reader gives to `into` until the end; how many bytes it was.
    pub async fn copy_to(mut self, into: &mut (impl AsyncWrite + Unpin)) -> Result<u64, CopyError> {
        let mut copied = 0;
        while let Some(record) = self.next().await? {
            if let RecordBody::Output { bytes, .. } = record.body {
                into.write_all(&bytes).await.map_err(CopyError::Write)?;
                copied += bytes.len() as u64;
            }
        }
        into.flush().await.map_err(CopyError::Write)?;
        Ok(copied)
    }

    fn step(&mut self, status: &Status) -> Result<Option<Record>, ReadError> {
        while !self.has_passed_end(status) {
            let Some(entry) = self.cursor.next(status)? else {
                return Ok(None);
            };
            if let Some(skip) = self.wanted(&entry) {
                return self.cursor.record(&entry, skip).map(Some);
            }
        }
        Ok(None)
    }

    /// How many of the entry's first bytes to leave out; `None`: all of it.
    fn wanted(&self, entry: &Entry) -> Option<u64> {
        if entry.header.seq <= self.after_seq {
            return None;
        }
        let (Kind::Output(stream), Some(only)) = (entry.header.kind, self.only) else {
            return Some(0);
        };
        let skip = self.from_byte.saturating_sub(entry.place.before.of(stream));
        (stream == only && skip < entry.header.len.into()).then_some(skip)
    }

    fn has_passed_end(&self, status: &Status) -> bool {
        !self.past_end
            && status
                .end
                .is_some_and(|end| self.cursor.place().seq > end.seq)
    }

    fn is_done(&self, status: &Status) -> bool {
        match status.feed {
            _ if self.has_passed_end(status) => true,
            Feed::Idle | Feed::Removed => true,
            Feed::Drained => status.end.is_some(),
            Feed::Live => false,
        }
    }
}
