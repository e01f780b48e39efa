//! Finds out what a journal file holds, by hopping from header to header.
//!
//! Only the end of the file can be unfinished: a process that was killed wrote its records one
//! after the other. What it left there is one of
//!
//! - the first part of a header: no byte of output follows it, so it counts for nothing;
//! - a header and fewer bytes than it announces: for output, those bytes are the record; a mark in
//!   that condition counts for nothing.

use std::fs::File;
use std::io;

use super::format::{BadHeader, HEADER_SIZE, Header, Kind, align};
use super::index::{Index, Place, START};
use super::status::{End, Status};
use super::window::Window;
use super::{RECORD_MAX_BYTES, format};

/// What stands in a file.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) status: Status,
    pub(super) index: Index,
    /// The last record announces more than there is: its offset, and its header put right.
    pub(super) short: Option<(u64, Header)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("reading failed")]
    Read(#[from] io::Error),
    #[error("written by another version of the journal format")]
    Foreign,
}

/// Reads the headers of `file`. Changes nothing.
pub(super) fn scan(file: &File) -> Result<Scan, ScanError> {
    let size = file.metadata()?.len();
    let mut window = Window::new();
    let mut found = Scan {
        status: Status::EMPTY,
        index: Index::new(),
        short: None,
    };
    let mut place = START;
    while place.offset + HEADER_SIZE <= size {
        let bytes = window.header(file, place.offset, size)?;
        let header = match Header::decode(&bytes) {
            Ok(header) if plausible(&header, place.seq) => header,
            Ok(_) | Err(BadHeader::Damaged) => break,
            Err(BadHeader::Foreign) => return Err(ScanError::Foreign),
        };
        let start = place.offset + HEADER_SIZE;
        let have = (size - start).min(header.len.into());
        if have < header.len.into() {
            if let (Kind::Output(_), 1..) = (header.kind, have) {
                let len = u32::try_from(have).expect("less than a u32");
                let header = Header { len, ..header };
                found.short = Some((place.offset, header));
                take(&mut found, &mut place, &header, None);
            }
            break;
        }
        let end = if header.kind == Kind::End {
            let mut payload = [0; format::END_BYTES];
            window.read(file, start, &mut payload)?;
            match format::decode_end(&payload) {
                Some(state) => Some(End {
                    seq: header.seq,
                    state,
                    time: header.time,
                }),
                None => break,
            }
        } else {
            None
        };
        take(&mut found, &mut place, &header, end);
    }
    Ok(found)
}

/// Whether a header can be the one of record `seq`.
fn plausible(header: &Header, seq: u64) -> bool {
    let fits = match header.kind {
        Kind::Output(_) => (1..=RECORD_MAX_BYTES).contains(&(header.len as usize)),
        Kind::Truncated => header.len == 0,
        Kind::End => header.len as usize == format::END_BYTES,
    };
    fits && header.seq == seq
}

fn take(found: &mut Scan, place: &mut Place, header: &Header, end: Option<End>) {
    found.index.note(*place);
    let status = &mut found.status;
    status.last_seq = header.seq;
    status.file_end = place.offset + HEADER_SIZE + u64::from(header.len);
    status.truncated |= header.kind == Kind::Truncated;
    status.end = status.end.or(end);
    if let Kind::Output(stream) = header.kind {
        place.before.add(stream, header.len.into());
    }
    status.kept = place.before;
    place.offset = align(status.file_end);
    place.seq += 1;
}
