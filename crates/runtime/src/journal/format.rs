//! The bytes of a journal file. Pure: knows neither files nor time.
//!
//! ```text
//! offset 0        8          16         24      28       32
//!        magic,   seq u64    micros i64 len u32 check    payload of `len` bytes, then zeros up to
//!        version,                               u32      the next multiple of 8
//!        kind, 0
//! ```
//! Integers are little-endian; `check` is the CRC-32 of the 28 bytes before it. Headers lie on
//! multiples of 8, so `len` and `check` are one aligned word that is never written in halves.

use pinfold_model::journal::Stream;
use pinfold_model::{CommandState, ExitStatus, Time};

/// Length of a header in bytes.
pub(super) const HEADER_BYTES: usize = 32;
/// [`HEADER_BYTES`] as a file offset.
pub(super) const HEADER_SIZE: u64 = HEADER_BYTES as u64;
/// Where `len` and `check` stand within a header.
pub(super) const LEN_AND_CHECK: u64 = 24;
/// Length of the payload of an End record in bytes.
pub(super) const END_BYTES: usize = 8;

const MAGIC: [u8; 2] = *b"PJ";
const VERSION: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Output(Stream),
    Truncated,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) seq: u64,
    pub(super) time: Time,
    pub(super) len: u32,
}

/// Why 32 bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Not written by this program, or damaged.
    Damaged,
    /// Whole, but of a format that this version does not know.
    Foreign,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3] = match self.kind {
            Kind::Output(Stream::Stdout) => 1,
            Kind::Output(Stream::Stderr) => 2,
            Kind::Truncated => 3,
            Kind::End => 4,
        };
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time.as_microsecond().to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        let check = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BadHeader> {
        let check = u32::from_le_bytes(part(bytes, 28));
        if bytes[..2] != MAGIC || crc32fast::hash(&bytes[..28]) != check {
            return Err(BadHeader::Damaged);
        }
        let kind = match (bytes[2], bytes[3]) {
            (VERSION, 1) => Kind::Output(Stream::Stdout),
            (VERSION, 2) => Kind::Output(Stream::Stderr),
            (VERSION, 3) => Kind::Truncated,
            (VERSION, 4) => Kind::End,
            _ => return Err(BadHeader::Foreign),
        };
        let micros = i64::from_le_bytes(part(bytes, 16));
        Ok(Self {
            kind,
            seq: u64::from_le_bytes(part(bytes, 8)),
            time: Time::from_microsecond(micros).map_err(|_| BadHeader::Damaged)?,
            len: u32::from_le_bytes(part(bytes, 24)),
        })
    }
}

/// The first multiple of 8 that is not below `offset`: where a header may stand.
pub(super) const fn align(offset: u64) -> u64 {
    offset.next_multiple_of(8)
}

/// An End payload. States that are no ending have none: a journal cannot claim one.
pub(super) fn encode_end(state: CommandState) -> Option<[u8; END_BYTES]> {
    let ending = match state {
        CommandState::Queued | CommandState::Starting | CommandState::Running => return None,
        CommandState::Exited(_) => 1,
        CommandState::Cancelled(_) => 2,
        CommandState::TimedOut(_) => 3,
        CommandState::Lost => 4,
        CommandState::Killed => 5,
    };
    let (how, value) = match state.exit_status() {
        None => (0, 0),
        Some(ExitStatus::Code(code)) => (1, code),
        Some(ExitStatus::Signal(signal)) => (2, signal),
    };
    let mut bytes = [0; END_BYTES];
    bytes[0] = ending;
    bytes[1] = how;
    bytes[4..].copy_from_slice(&i32::to_le_bytes(value));
    Some(bytes)
}

pub(super) fn decode_end(bytes: &[u8]) -> Option<CommandState> {
    let bytes: &[u8; END_BYTES] = bytes.try_into().ok()?;
    let value = i32::from_le_bytes(part(bytes, 4));
    let status = match bytes[1] {
        0 => None,
        1 => Some(ExitStatus::Code(value)),
        2 => Some(ExitStatus::Signal(value)),
        _ => return None,
    };
    match (bytes[0], status) {
        (1, Some(status)) => Some(CommandState::Exited(status)),
        (2, Some(status)) => Some(CommandState::Cancelled(status)),
        (3, Some(status)) => Some(CommandState::TimedOut(status)),
        (4, None) => Some(CommandState::Lost),
        (5, None) => Some(CommandState::Killed),
        _ => None,
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("a range of N bytes is N bytes long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let kind = prop_oneof![
            Just(Kind::Output(Stream::Stdout)),
            Just(Kind::Output(Stream::Stderr)),
            Just(Kind::Truncated),
            Just(Kind::End),
        ];
        (
            kind,
            any::<u64>(),
            0..4_000_000_000_000_000_i64,
            any::<u32>(),
        )
            .prop_map(|(kind, seq, micros, len)| Header {
                kind,
                seq,
                time: Time::from_microsecond(micros).expect("in range"),
                len,
            })
    }

    proptest! {
        #[test]
        fn headers_survive_the_file(header in header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn no_changed_header_is_believed(header in header(), at in 0..HEADER_BYTES, bit in 0..8_u8) {
            let mut bytes = header.encode();
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Header::decode(&bytes), Err(BadHeader::Damaged));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in any::<[u8; HEADER_BYTES]>()) {
            let _ = Header::decode(&bytes);
        }

        #[test]
        fn any_end_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Some(state) = decode_end(&bytes) {
                prop_assert!(state.is_terminal());
            }
        }
    }

    #[test]
    fn endings_survive_and_other_states_are_refused() {
        let statuses = [
            ExitStatus::Code(0),
            ExitStatus::Code(-1),
            ExitStatus::Signal(9),
        ];
        let mut states = vec![CommandState::Lost, CommandState::Killed];
        for status in statuses {
            states.extend([
                CommandState::Exited(status),
                CommandState::Cancelled(status),
                CommandState::TimedOut(status),
            ]);
        }
        for state in states {
            let bytes = encode_end(state).expect("an ending");
            assert_eq!(decode_end(&bytes), Some(state));
        }
        assert_eq!(encode_end(CommandState::Running), None);
    }
}
