//! What a journal holds: the output of a command as numbered records.

use crate::Time;
use crate::command::CommandState;

/// Where a record's bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One entry of a journal. Sequence numbers begin at 1 and have no gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub time: Time,
    pub body: RecordBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordBody {
    /// Bytes exactly as the command wrote them; not text.
    Output { stream: Stream, bytes: Vec<u8> },
    /// The cap was reached: nothing the command wrote after this was kept.
    Truncated,
    /// The command ended. Output of children it left behind may follow.
    End { state: CommandState },
}
