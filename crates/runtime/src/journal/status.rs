//! What is known about a journal at one instant. Plain data, published to readers as a whole.

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{CommandState, Time};

use super::index::StreamBytes;

/// A journal at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Sequence number of the last record; 0 when there is none.
    pub last_seq: u64,
    /// Bytes kept.
    pub(super) kept: StreamBytes,
    /// A `Truncated` record exists: output was dropped.
    pub truncated: bool,
    pub end: Option<End>,
    /// File offset after the last whole record.
    pub(super) file_end: u64,
    pub(super) feed: Feed,
    /// Marks that exist and stand in no file yet, in order.
    pub(super) unwritten: [Option<Mark>; 2],
    /// The first of them is an End that is all there is, and needs no file: see [`super::silent`].
    pub(super) silent: bool,
}

/// The End record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub seq: u64,
    pub state: CommandState,
    pub time: Time,
}

/// Whether more can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// Nobody writes: read from the file of an earlier life of the server.
    Idle,
    /// A writer has it.
    Live,
    /// Every pipe is at its end or was given up: only End may still come.
    Drained,
    /// The file was removed.
    Removed,
}

/// A record without bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) time: Time,
    /// `None`: the Truncated mark.
    pub(super) end: Option<CommandState>,
}

impl Mark {
    pub(super) const fn record(self) -> Record {
        let body = match self.end {
            None => RecordBody::Truncated,
            Some(state) => RecordBody::End { state },
        };
        Record {
            seq: self.seq,
            time: self.time,
            body,
        }
    }
}

impl Status {
    pub(super) const EMPTY: Self = Self {
        last_seq: 0,
        kept: StreamBytes {
            stdout: 0,
            stderr: 0,
        },
        truncated: false,
        end: None,
        file_end: 0,
        feed: Feed::Idle,
        unwritten: [None; 2],
        silent: false,
    };

    /// Of a journal that holds this End and nothing else.
    pub(super) fn silent(mark: Mark) -> Self {
        Self {
            last_seq: mark.seq,
            end: mark.end.map(|state| End {
                seq: mark.seq,
                state,
                time: mark.time,
            }),
            unwritten: [Some(mark), None],
            silent: true,
            ..Self::EMPTY
        }
    }

    /// Bytes of `stream` that the journal holds.
    #[must_use]
    pub const fn stream_bytes(&self, stream: Stream) -> u64 {
        self.kept.of(stream)
    }

    /// Some record stands in memory only, because the disk refused it.
    #[must_use]
    pub const fn has_unwritten(&self) -> bool {
        self.unwritten[0].is_some() && !self.silent
    }

    /// The End where it is all that there is.
    pub(super) fn silent_end(&self) -> Option<Mark> {
        self.unwritten[0].filter(|_| self.silent)
    }

    /// The mark with this sequence number, if it stands in no file of its journal.
    pub(super) fn fileless_at(&self, seq: u64) -> Option<Mark> {
        self.unwritten
            .iter()
            .flatten()
            .find(|mark| mark.seq == seq)
            .copied()
    }
}
