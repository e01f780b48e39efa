//! The journal: what a command wrote, as an append-only file of numbered records.
//!
//! Waiting, streaming, paging, reconnecting and reading afterwards are all "read from record N on".
//! This module owns the files of one directory and the reading ends of commands' output; it knows
//! nothing of guests, sandboxes or how a command was started.
//!
//! # No byte is lost or doubled
//!
//! ```text
//!   command --write--> pipe --splice, in the kernel--> DIR/<command id> --pread--> readers
//!                       ^ the guest holds this reading end too: it outlives the server
//! ```
//! A record is a header that announces its length, then its bytes. [`Pump`] asks the pipe how much
//! waits, writes the header, and splices exactly that much behind it. `splice` takes from the pipe
//! what it has put into the file and nothing else, also when the process is killed in the middle of
//! the call. So whenever the server dies each byte is in the pipe or in the file, and the file ends
//! with at most one unfinished record, whose bytes are attributed by the header before them:
//!
//! ```text
//!   file ends with             reopen makes of it
//!   whole record               nothing to do
//!   part of a header           cut off (no bytes of output were moved yet)
//!   header, no bytes           cut off
//!   header, some bytes         that record, with its length put right in place
//! ```
//! Only a terminal or socket in place of a pipe passes through this process's memory; what has been
//! read from it and not written (64 KiB at most, for microseconds) dies with the process.
//!
//! A flood costs what writing to a file costs: the kernel copies once, from the pipe into the page
//! cache, and holds the pipe for that long. `read` and `write` would copy twice and lose the
//! guarantee above. A pipe that is found full is widened to 256 KiB, so that this takes fewer turns.
//!
//! One file for both streams, not one each beside an index: a command with little output then costs
//! one `open`, and the order between the streams is the order of the file. A command that has not
//! written anything has no file, also when it has ended: its End stands among those of its like in
//! `DIR/silent`, until its record says the same.
//!
//! Records are not forced to the disk one by one. They survive the death of this process, not a
//! loss of power: after that, recovery keeps the records up to the first one that is not whole.
//!
//! # Bounds
//!
//! - A record holds at most [`RECORD_MAX_BYTES`].
//! - A journal holds at most its cap of output, in a file of at most four times the cap + 1 MiB
//!   (which only a command that writes a few bytes at a time, millions of times, reaches first).
//!   At either bound one `Truncated` record is appended; what follows is read and dropped, so the
//!   command never blocks. `End` still follows.
//! - A disk that is full or fails is the same: output is cut, and the marks stand in memory until
//!   the disk takes them (retried every second while the pump lives).
//! - A reader holds one record and 64 KiB; it never delays the writer. An index in memory of at
//!   most 4096 places bounds every seek. Readers share one descriptor per journal.

mod cursor;
mod format;
mod handle;
mod index;
mod input;
mod page;
mod pump;
mod reader;
mod registry;
mod scan;
mod silent;
mod source;
mod status;
mod tail;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use cursor::ReadError;
pub use handle::Journal;
pub use page::{Collected, PAGE_MAX_BYTES, PAGE_MAX_RECORDS, Page, Tails};
pub use pump::Pump;
pub use reader::{CopyError, JournalReader};
pub use registry::{Clock, Journals, OpenError};
pub use status::{End, Status};
pub use writer::{JournalWriter, NotAnEnding};

/// Most bytes of one record.
pub const RECORD_MAX_BYTES: usize = 1 << 20;
