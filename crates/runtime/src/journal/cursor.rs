//! A position in a journal that moves forward over finished records. Synchronous: what is not there
//! yet is for [`super::reader`] to wait for.

use std::io;
use std::sync::Arc;

use pinfold_model::journal::{Record, RecordBody, Stream};

use super::format::{self, BadHeader, HEADER_SIZE, Header, Kind, align};
use super::handle::Journal;
use super::index::Place;
use super::status::{Feed, Mark, Status};
use super::window::Window;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the journal was removed")]
    Removed,
    #[error("reading the journal failed")]
    Io(#[source] io::Error),
    /// Its file was damaged after it had been opened.
    #[error("the journal is damaged at record {seq}")]
    Damaged { seq: u64 },
}

#[derive(Debug)]
pub(super) struct Cursor {
    journal: Arc<Journal>,
    window: Window,
    /// The next record.
    place: Place,
}

/// A record whose bytes are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) header: Header,
    /// Bytes of each stream before it.
    pub(super) place: Place,
    /// It stands in no file: the disk has refused it so far, or it is all that there is.
    fileless: Option<Mark>,
}

impl Cursor {
    /// At or before record `seq`, not further than one stride of the index.
    pub(super) fn near_seq(journal: Arc<Journal>, seq: u64) -> Self {
        let place = journal.index().before_seq(seq);
        Self::at(journal, place)
    }

    /// At or before the record that holds byte `byte` of `stream`.
    pub(super) fn near_byte(journal: Arc<Journal>, stream: Stream, byte: u64) -> Self {
        let place = journal.index().before_byte(stream, byte);
        Self::at(journal, place)
    }

    pub(super) const fn at(journal: Arc<Journal>, place: Place) -> Self {
        Self {
            journal,
            window: Window::new(),
            place,
        }
    }

    /// The place of the next record.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// The next record as of `status`; `None` when there is none yet.
    pub(super) fn next(&mut self, status: &Status) -> Result<Option<Entry>, ReadError> {
        if status.feed == Feed::Removed {
            return Err(ReadError::Removed);
        }
        while self.place.offset < status.file_end {
            let entry = self.next_in_file(status.file_end)?;
            // One that was read from memory before it could be written comes by again.
            if entry.place.seq == entry.header.seq {
                return Ok(Some(entry));
            }
        }
        Ok(self.next_in_memory(status))
    }

    fn next_in_file(&mut self, limit: u64) -> Result<Entry, ReadError> {
        let damaged = ReadError::Damaged {
            seq: self.place.seq,
        };
        let Some(file) = self.journal.file() else {
            return Err(damaged);
        };
        let bytes = self
            .window
            .header(file, self.place.offset, limit)
            .map_err(ReadError::Io)?;
        let mut header = match Header::decode(&bytes) {
            Ok(header) if header.seq <= self.place.seq => header,
            Ok(_) | Err(BadHeader::Damaged | BadHeader::Foreign) => return Err(damaged),
        };
        // The last record of a journal that nobody has reopened can announce too much.
        let start = self.place.offset + HEADER_SIZE;
        let have = limit.saturating_sub(start);
        if have < header.len.into() {
            header.len = u32::try_from(have).expect("less than a u32");
        }
        let entry = Entry {
            header,
            place: self.place,
            fileless: None,
        };
        self.place.offset = align(start + u64::from(header.len));
        if header.seq == self.place.seq {
            self.place.seq += 1;
            if let Kind::Output(stream) = header.kind {
                self.place.before.add(stream, header.len.into());
            }
        }
        Ok(entry)
    }

    fn next_in_memory(&mut self, status: &Status) -> Option<Entry> {
        let mark = status.fileless_at(self.place.seq)?;
        let kind = if mark.end.is_some() {
            Kind::End
        } else {
            Kind::Truncated
        };
        let header = Header {
            kind,
            seq: mark.seq,
            time: mark.time,
            len: 0,
        };
        let entry = Entry {
            header,
            place: self.place,
            fileless: Some(mark),
        };
        self.place.seq += 1;
        Some(entry)
    }

    /// Reads the first `into.len()` bytes of an entry.
    pub(super) fn read(&self, entry: &Entry, into: &mut [u8]) -> Result<(), ReadError> {
        let file = self.journal.file().ok_or(ReadError::Damaged {
            seq: entry.header.seq,
        })?;
        let start = entry.place.offset + HEADER_SIZE;
        self.window.read(file, start, into).map_err(ReadError::Io)
    }

    /// The entry as a record, of its bytes those from `skip` on.
    pub(super) fn record(&self, entry: &Entry, skip: u64) -> Result<Record, ReadError> {
        if let Some(mark) = entry.fileless {
            return Ok(mark.record());
        }
        let header = entry.header;
        let skip = skip.min(header.len.into());
        let len = usize::try_from(u64::from(header.len) - skip).expect("at most 1 MiB");
        let file = self
            .journal
            .file()
            .ok_or(ReadError::Damaged { seq: header.seq })?;
        let start = entry.place.offset + HEADER_SIZE + skip;
        let bytes = self.window.bytes(file, start, len).map_err(ReadError::Io)?;
        let body = match header.kind {
            Kind::Output(stream) => RecordBody::Output { stream, bytes },
            Kind::Truncated => RecordBody::Truncated,
            Kind::End => match format::decode_end(&bytes) {
                Some(state) => RecordBody::End { state },
                None => return Err(ReadError::Damaged { seq: header.seq }),
            },
        };
        Ok(Record {
            seq: header.seq,
            time: header.time,
            body,
        })
    }
}
