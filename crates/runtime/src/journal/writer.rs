//! The one writer of a journal: numbers records, keeps to the cap, and turns a disk that refuses
//! into a visible mark instead of a blocked command.

use std::sync::Arc;

use pinfold_model::journal::Stream;
use pinfold_model::{CommandState, Time};
use rustix::io::Errno;

use super::RECORD_MAX_BYTES;
use super::format::{self, Header, Kind};
use super::handle::Journal;
use super::index::Place;
use super::registry::Shelf;
use super::silent;
use super::source::{Means, Moved, Source};
use super::status::{End, Feed, Mark, Status};
use super::tail::Tail;

/// Headers count too, so that a command which writes single bytes cannot fill the disk: a file is
/// never longer than this many times the cap plus [`FILE_SLACK`].
const FILE_CAPS: u64 = 4;
const FILE_SLACK: u64 = 1 << 20;
/// What is read at once where nothing can be spliced.
const COPY_BYTES: usize = 64 << 10;

/// Appends to a journal. There is one at a time for each journal; dropping it gives the journal
/// free for `reopen`.
#[derive(Debug)]
pub struct JournalWriter {
    journal: Arc<Journal>,
    shelf: Arc<Shelf>,
    cap: u64,
    tail: Tail,
    status: Status,
    /// The file system does not take part in splicing.
    copies: bool,
}

/// The state is not one in which a command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an ending", .0.as_str())]
pub struct NotAnEnding(pub CommandState);

/// What a turn at a source found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// This many bytes, kept or discarded.
    Bytes {
        count: usize,
        /// They were all that waited.
        emptied: bool,
    },
    /// Nothing waits now.
    Nothing,
    /// The end, as far as the source itself can tell; an empty pipe cannot.
    End,
}

impl JournalWriter {
    /// The caller has claimed `journal`, whose file is recovered.
    pub(super) fn new(journal: Arc<Journal>, shelf: Arc<Shelf>, cap: u64) -> Self {
        let mut status = journal.status();
        status.feed = Feed::Live;
        journal.publish(status);
        Self {
            tail: Tail::at(status.file_end),
            journal,
            shelf,
            cap,
            status,
            copies: false,
        }
    }

    #[must_use]
    pub const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Appends bytes that came by another way than a pipe. They are kept, or dropped behind a
    /// `Truncated` record; never refused.
    pub fn append(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.is_keeping() {
            let room = self.room();
            if room == 0 {
                self.truncate();
                return;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.put(stream, now.len(), |tail, file, header| {
                tail.copy(file, header, now)
            });
            bytes = later;
        }
    }

    /// Appends the End record and returns its sequence number. The first ending stays: when there
    /// is one already, that one's number is returned and nothing changes.
    pub fn end(&mut self, state: CommandState) -> Result<u64, NotAnEnding> {
        if let Some(end) = self.status.end {
            return Ok(end.seq);
        }
        if format::encode_end(state).is_none() {
            return Err(NotAnEnding(state));
        }
        let seq = self.end_in_silence(state);
        Ok(seq.unwrap_or_else(|| self.mark(Some(state))))
    }

    /// Moves at most `limit` waiting bytes (and one record's worth) into the journal.
    pub(super) fn take(&mut self, stream: Stream, source: Source<'_>, limit: usize) -> Taken {
        if source.means() == Means::Copy {
            return self.take_copy(stream, source, limit.min(COPY_BYTES));
        }
        let waiting = match source.available() {
            Ok(0) => return Taken::Nothing,
            Ok(waiting) => waiting,
            Err(error) => return give_up(&error),
        };
        source.widen(waiting);
        if self.is_keeping() && self.room() == 0 {
            self.truncate();
        }
        let want = waiting.min(limit);
        let room = want.min(self.room());
        let kept = if self.is_keeping() && !self.copies {
            self.put(stream, room, |tail, file, header| {
                tail.splice(file, header, source)
            })
        } else {
            0
        };
        match kept {
            0 if !self.is_keeping() => self.discard(source, want, waiting),
            0 if self.copies => self.take_copy(stream, source, want.min(COPY_BYTES)),
            0 => Taken::Nothing,
            count => Taken::Bytes {
                count,
                emptied: count == waiting,
            },
        }
    }

    /// Every source is at its end: readers that went past End need not wait any more.
    pub(super) fn drained(&mut self) {
        self.status.feed = Feed::Drained;
        self.publish();
    }

    /// Tries again to write what the disk refused. Whether nothing is left to write.
    pub(super) fn flush_marks(&mut self) -> bool {
        if self.status.has_unwritten() {
            if let Err(error) = self.write_marks() {
                tracing::debug!(command = %self.journal.id(), %error, "journal still not writable");
            }
            self.publish();
        }
        !self.status.has_unwritten()
    }

    fn take_copy(&mut self, stream: Stream, source: Source<'_>, limit: usize) -> Taken {
        let mut bytes = vec![0; limit];
        match source.read(&mut bytes) {
            Ok(None) => Taken::Nothing,
            Ok(Some(0)) => Taken::End,
            Ok(Some(read)) => {
                self.append(stream, &bytes[..read]);
                Taken::Bytes {
                    count: read,
                    emptied: false,
                }
            }
            Err(error) => give_up(&error),
        }
    }

    fn discard(&self, source: Source<'_>, len: usize, waiting: usize) -> Taken {
        match source.discard(self.shelf.null(), len) {
            Ok(0) => Taken::Nothing,
            Ok(count) => Taken::Bytes {
                count,
                emptied: count == waiting,
            },
            Err(error) => give_up(&error),
        }
    }

    const fn is_keeping(&self) -> bool {
        !self.status.truncated
    }

    /// How many bytes the next record may hold.
    fn room(&self) -> usize {
        let payload = self.cap.saturating_sub(self.status.kept.sum());
        let longest = self
            .cap
            .saturating_mul(FILE_CAPS)
            .saturating_add(FILE_SLACK);
        let file = longest.saturating_sub(self.tail.next() + format::HEADER_SIZE);
        usize::try_from(payload.min(file))
            .unwrap_or(usize::MAX)
            .min(RECORD_MAX_BYTES)
    }

    /// Puts one output record of up to `len` bytes; how many it holds. When the disk fails, the
    /// rest of the output is given up.
    fn put(
        &mut self,
        stream: Stream,
        len: usize,
        put: impl FnOnce(&mut Tail, &std::fs::File, &Header) -> Moved,
    ) -> usize {
        // An End that is not in the file yet comes before this record.
        self.break_silence();
        let ready = self.write_marks();
        let place = self.next_place();
        let header = Header {
            kind: Kind::Output(stream),
            seq: place.seq,
            time: self.now(),
            len: u32::try_from(len).expect("a record is at most 1 MiB"),
        };
        let moved = match ready.and_then(|()| self.journal.file_for_writing()) {
            Ok(file) => put(&mut self.tail, file, &header),
            Err(error) => Moved {
                bytes: 0,
                error: Some(error),
            },
        };
        if moved.bytes > 0 {
            self.journal.index().note(place);
            self.status.last_seq = header.seq;
            self.status.kept.add(stream, moved.bytes as u64);
            self.publish();
        }
        if let Some(error) = moved.error {
            self.refused(&error);
        }
        moved.bytes
    }

    /// The file did not take a record.
    fn refused(&mut self, error: &std::io::Error) {
        if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) && !self.copies {
            self.copies = true;
            return;
        }
        tracing::warn!(command = %self.journal.id(), %error, "journal cut: the disk refuses it");
        self.truncate();
    }

    fn truncate(&mut self) {
        self.mark(None);
    }

    /// The End of a journal that holds nothing else, put where those stand. `None` where it has to
    /// be a mark like others.
    fn end_in_silence(&mut self, state: CommandState) -> Option<u64> {
        if self.status.last_seq > 0 || self.journal.file().is_some() {
            return None;
        }
        let mark = silent::mark(self.now(), state);
        match self.shelf.silent().put(self.journal.id(), mark.time, state) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!(command = %self.journal.id(), %error, "no slot for its end");
                return None;
            }
        }
        self.status = Status {
            feed: self.status.feed,
            ..Status::silent(mark)
        };
        self.publish();
        Some(mark.seq)
    }

    /// Something follows an End that was all there was, so the journal has a file from now on.
    fn break_silence(&mut self) {
        self.status.silent = false;
    }

    /// Adds a mark, in the file if possible and in memory otherwise.
    fn mark(&mut self, end: Option<CommandState>) -> u64 {
        self.break_silence();
        let seq = self.status.last_seq + 1;
        let mark = Mark {
            seq,
            time: self.now(),
            end,
        };
        let free = self.status.unwritten.iter_mut().find(|slot| slot.is_none());
        *free.expect("there are two marks, each made once") = Some(mark);
        self.status.last_seq = seq;
        match end {
            Some(state) => {
                let time = mark.time;
                self.status.end = Some(End { seq, state, time });
            }
            None => self.status.truncated = true,
        }
        if let Err(error) = self.write_marks() {
            tracing::warn!(command = %self.journal.id(), %error, "journal mark kept in memory");
        }
        self.publish();
        seq
    }

    fn write_marks(&mut self) -> std::io::Result<()> {
        while let Some(mark) = self.status.unwritten[0] {
            let payload = mark.end.and_then(format::encode_end);
            let bytes = payload.as_ref().map_or(&[][..], |payload| &payload[..]);
            let header = Header {
                kind: if mark.end.is_some() {
                    Kind::End
                } else {
                    Kind::Truncated
                },
                seq: mark.seq,
                time: mark.time,
                len: u32::try_from(bytes.len()).expect("8 or 0"),
            };
            let place = Place {
                seq: mark.seq,
                ..self.next_place()
            };
            let file = self.journal.file_for_writing()?;
            self.tail.mark(file, &header, bytes)?;
            self.journal.index().note(place);
            self.status.unwritten = [self.status.unwritten[1], None];
        }
        Ok(())
    }

    /// Where the next record will stand.
    const fn next_place(&self) -> Place {
        Place {
            offset: self.tail.next(),
            seq: self.status.last_seq + 1,
            before: self.status.kept,
        }
    }

    fn now(&self) -> Time {
        let micros = self.shelf.now().as_microsecond();
        Time::from_microsecond(micros).expect("came from a time")
    }

    fn publish(&mut self) {
        self.status.file_end = self.tail.end();
        self.journal.publish(self.status);
    }
}

/// A source that cannot even be asked is as good as closed.
fn give_up(error: &std::io::Error) -> Taken {
    tracing::warn!(%error, "output of a command cannot be read");
    Taken::End
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        if self.status.end.is_some() {
            self.flush_marks();
            self.drained();
        }
        self.journal.release();
        self.shelf.put_back(&self.journal);
    }
}
