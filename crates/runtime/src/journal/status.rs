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
    /// Marks that exist but could not be written yet, in order.
    pub(super) unwritten: [Option<Mark>; 2],
}

/// The End record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub seq: u64,
    pub state: CommandState,
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
    };

    /// Bytes of `stream` that the journal holds.
    #[must_use]
    pub const fn stream_bytes(&self, stream: Stream) -> u64 {
        self.kept.of(stream)
    }

    /// Some record stands in memory only, because the disk refused it.
    #[must_use]
    pub const fn has_unwritten(&self) -> bool {
        self.unwritten[0].is_some()
    }

    /// The unwritten mark with this sequence number.
    pub(super) fn unwritten_at(&self, seq: u64) -> Option<Mark> {
        self.unwritten
            .iter()
            .flatten()
            .find(|mark| mark.seq == seq)
            .copied()
    }
}
