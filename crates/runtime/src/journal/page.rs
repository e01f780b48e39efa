//! Reads parts of a journal as it is now, without waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use pinfold_model::journal::{Record, RecordBody, Stream};

use super::cursor::{Cursor, Entry, ReadError};
use super::format::Kind;
use super::handle::Journal;
use super::reader::JournalReader;
use super::status::Status;

/// Most records of a page, whatever was asked for.
pub const PAGE_MAX_RECORDS: usize = 1000;
/// Most output bytes of a page; its first record is given in any case.
pub const PAGE_MAX_BYTES: usize = 4 << 20;

/// Some consecutive records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// The last sequence number looked at: the next page is the one after it.
    pub last_seq: u64,
    /// More records stood behind `last_seq` when this was read.
    pub more: bool,
}

/// The output of one stream up to End.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    pub bytes: Vec<u8>,
    /// Some output is missing: it did not fit here, or the journal was cut.
    pub truncated: bool,
}

/// The last bytes of both streams before some record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tails {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Journal {
    /// Follows the journal from the record after `after_seq` (0: from the first).
    #[must_use]
    pub fn reader(self: &Arc<Self>, after_seq: u64) -> JournalReader {
        JournalReader::after(Arc::clone(self), after_seq)
    }

    /// Follows one stream from its byte `from_byte` on, with the marks from there.
    #[must_use]
    pub fn stream_reader(self: &Arc<Self>, stream: Stream, from_byte: u64) -> JournalReader {
        JournalReader::from_byte(Arc::clone(self), stream, from_byte)
    }

    /// Up to `limit` records after `after_seq`: marks, and the output of `only` or of both streams.
    pub fn page(
        self: &Arc<Self>,
        after_seq: u64,
        limit: usize,
        only: Option<Stream>,
    ) -> Result<Page, ReadError> {
        let status = self.status();
        let limit = limit.clamp(1, PAGE_MAX_RECORDS);
        let mut cursor = Cursor::near_seq(Arc::clone(self), after_seq.saturating_add(1));
        let mut page = Page {
            records: Vec::new(),
            last_seq: after_seq,
            more: false,
        };
        let mut room = PAGE_MAX_BYTES;
        while let Some(entry) = cursor.next(&status)? {
            if entry.header.seq <= after_seq {
                continue;
            }
            if is_wanted(&entry, only) {
                let len = entry.header.len as usize;
                let first = page.records.is_empty();
                if page.records.len() == limit || (len > room && !first) {
                    page.more = true;
                    break;
                }
                room = room.saturating_sub(len);
                page.records.push(cursor.record(&entry, 0)?);
            }
            page.last_seq = entry.header.seq;
        }
        Ok(page)
    }

    /// The last `limit` records, fewer when they are large; otherwise as [`Self::page`].
    pub fn tail(self: &Arc<Self>, limit: usize, only: Option<Stream>) -> Result<Page, ReadError> {
        let status = self.status();
        let limit = limit.clamp(1, PAGE_MAX_RECORDS);
        let mut last: VecDeque<Entry> = VecDeque::new();
        let places = self.index().places();
        let mut until = u64::MAX;
        for place in places.into_iter().rev() {
            let mut cursor = Cursor::at(Arc::clone(self), place);
            let mut part = part(&mut cursor, &status, until, limit - last.len(), only)?;
            part.append(&mut last);
            last = part;
            until = place.seq;
            if last.len() == limit {
                break;
            }
        }
        let mut bytes = last
            .iter()
            .map(|entry| entry.header.len as usize)
            .sum::<usize>();
        while bytes > PAGE_MAX_BYTES && last.len() > 1 {
            bytes -= last
                .pop_front()
                .map_or(0, |entry| entry.header.len as usize);
        }
        let cursor = Cursor::near_seq(Arc::clone(self), u64::MAX);
        let records = last
            .iter()
            .map(|entry| cursor.record(entry, 0))
            .collect::<Result<_, _>>()?;
        Ok(Page {
            records,
            last_seq: status.last_seq,
            more: false,
        })
    }

    /// The last `max_bytes` bytes of each stream in the records up to `seq`, fewer where there are
    /// fewer.
    pub fn tails(self: &Arc<Self>, seq: u64, max_bytes: u64) -> Result<Tails, ReadError> {
        let status = self.status();
        let mut cursor = Cursor::near_seq(Arc::clone(self), seq.saturating_add(1));
        while cursor.place().seq <= seq && cursor.next(&status)?.is_some() {}
        let before = cursor.place().before;
        Ok(Tails {
            stdout: self.last_bytes(Stream::Stdout, before.stdout, max_bytes)?,
            stderr: self.last_bytes(Stream::Stderr, before.stderr, max_bytes)?,
        })
    }

    fn last_bytes(
        self: &Arc<Self>,
        stream: Stream,
        until: u64,
        max_bytes: u64,
    ) -> Result<Vec<u8>, ReadError> {
        let want = until.min(max_bytes) as usize;
        let mut reader = self.stream_reader(stream, until - want as u64).past_end();
        let mut last = Vec::with_capacity(want);
        while last.len() < want {
            match reader.try_next()? {
                Some(record) => {
                    if let RecordBody::Output { bytes, .. } = record.body {
                        last.extend_from_slice(&bytes);
                    }
                }
                None => break,
            }
        }
        last.truncate(want);
        Ok(last)
    }

    /// The first `max_bytes` bytes of `stream` up to End, or up to now when there is no End. What
    /// is behind the first byte that does not fit is not looked at.
    pub fn collect(
        self: &Arc<Self>,
        stream: Stream,
        max_bytes: usize,
    ) -> Result<Collected, ReadError> {
        let status = self.status();
        let mut cursor = Cursor::near_seq(Arc::clone(self), 1);
        let mut collected = Collected {
            bytes: Vec::new(),
            truncated: false,
        };
        while let Some(entry) = cursor.next(&status)? {
            match entry.header.kind {
                Kind::End => break,
                Kind::Truncated => collected.truncated = true,
                Kind::Output(of) if of != stream => {}
                Kind::Output(_) => {
                    let bytes = &mut collected.bytes;
                    let start = bytes.len();
                    let len = (entry.header.len as usize).min(max_bytes - start);
                    collected.truncated |= len < entry.header.len as usize;
                    bytes.resize(start + len, 0);
                    cursor.read(&entry, &mut bytes[start..])?;
                    if collected.truncated {
                        break;
                    }
                }
            }
        }
        Ok(collected)
    }
}

/// The last `limit` wanted entries before record `until`.
fn part(
    cursor: &mut Cursor,
    status: &Status,
    until: u64,
    limit: usize,
    only: Option<Stream>,
) -> Result<VecDeque<Entry>, ReadError> {
    let mut entries = VecDeque::new();
    while let Some(entry) = cursor.next(status)? {
        if entry.header.seq >= until {
            break;
        }
        if is_wanted(&entry, only) {
            if entries.len() == limit {
                entries.pop_front();
            }
            entries.push_back(entry);
        }
    }
    Ok(entries)
}

fn is_wanted(entry: &Entry, only: Option<Stream>) -> bool {
    match entry.header.kind {
        Kind::Output(stream) => only.is_none_or(|only| only == stream),
        Kind::Truncated | Kind::End => true,
    }
}
