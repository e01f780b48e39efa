//! What commands wrote, as bounded text that says what it leaves out. No I/O.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use pinfold_sdk::{Record, StreamName};

use crate::answer::Failure;

/// Bytes of output in one answer: what a model can use, not what a command can write.
pub(crate) const TEXT_MAX_BYTES: usize = 64 << 10;

/// Where reading goes on: behind a record, and behind some bytes of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) seq: u64,
    skip: usize,
}

impl FromStr for Position {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::invalid(format!(
                "{text:?} is no position: give one that an earlier answer named, or leave it out"
            ))
        };
        let (seq, skip) = text.split_once('+').unwrap_or((text, "0"));
        Ok(Self {
            seq: seq.parse().map_err(|_| wrong())?,
            skip: skip.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.skip {
            0 => write!(f, "{}", self.seq),
            skip => write!(f, "{}+{skip}", self.seq),
        }
    }
}

#[derive(Debug)]
struct Piece {
    stream: StreamName,
    bytes: Vec<u8>,
}

/// Gathers output from a position on: the beginning, and where there is a place for it the end.
#[derive(Debug)]
pub(crate) struct Gathered {
    head: Vec<Piece>,
    head_room: usize,
    tail: VecDeque<Piece>,
    tail_bytes: usize,
    tail_max: usize,
    /// Bytes between the two, of stdout and of stderr.
    left_out: [u64; 2],
    /// Behind what the beginning holds.
    next: Position,
    /// The last record that came.
    last: u64,
    full: bool,
    /// The command wrote more than the server keeps.
    pub(crate) capped: bool,
}

impl Gathered {
    /// The beginning alone, for one who reads on from where it ends.
    pub(crate) fn page(position: Position) -> Self {
        Self::new(position, TEXT_MAX_BYTES, 0)
    }

    /// Beginning and end: errors are said last.
    pub(crate) fn both_ends() -> Self {
        Self::new(Position::default(), TEXT_MAX_BYTES / 2, TEXT_MAX_BYTES / 2)
    }

    fn new(position: Position, head_room: usize, tail_max: usize) -> Self {
        Self {
            head: Vec::new(),
            head_room,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_max,
            left_out: [0; 2],
            next: position,
            last: position.seq,
            full: false,
            capped: false,
        }
    }

    /// Whether a page holds all it can.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// What was written and is not here, in bytes.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.iter().sum()
    }

    /// Where to read what is not here, or what is still to come.
    pub(crate) fn next(&self) -> Position {
        match self.left_out() {
            0 if self.full => Position {
                seq: self.last,
                skip: 0,
            },
            _ => self.next,
        }
    }

    /// Takes the record in, or as much of it as there is room for.
    pub(crate) fn push(&mut self, record: &Record) {
        self.last = record.seq();
        match record {
            Record::Output { seq, stream, .. } => self.push_bytes(*seq, *stream, &bytes_of(record)),
            Record::Truncated { seq, .. } => {
                self.capped = true;
                self.pass(*seq);
            }
            Record::End { seq, .. } => self.pass(*seq),
        }
    }

    /// Takes in what came as number `seq`.
    pub(crate) fn push_bytes(&mut self, seq: u64, stream: StreamName, bytes: &[u8]) {
        if self.full {
            self.push_tail(stream, bytes);
            return;
        }
        let skip = self.next.skip.min(bytes.len());
        let rest = &bytes[skip..];
        let taken = if rest.len() <= self.head_room {
            rest.len()
        } else {
            boundary(rest, self.head_room)
        };
        let (head, behind) = rest.split_at(taken);
        self.head_room -= taken;
        append(&mut self.head, stream, head);
        if behind.is_empty() {
            self.next = Position { seq, skip: 0 };
            return;
        }
        self.full = true;
        self.next = Position {
            seq: seq.saturating_sub(1),
            skip: skip + taken,
        };
        self.push_tail(stream, behind);
    }

    fn pass(&mut self, seq: u64) {
        if !self.full {
            self.next = Position { seq, skip: 0 };
        }
    }

    fn push_tail(&mut self, stream: StreamName, bytes: &[u8]) {
        self.tail_bytes += bytes.len();
        self.tail.push_back(Piece {
            stream,
            bytes: bytes.to_vec(),
        });
        while self.tail_bytes > self.tail_max {
            let excess = self.tail_bytes - self.tail_max;
            let Some(first) = self.tail.front_mut() else {
                return;
            };
            let cut = ceiling(&first.bytes, excess);
            self.left_out[index(first.stream)] += cut as u64;
            self.tail_bytes -= cut;
            first.bytes.drain(..cut);
            if first.bytes.is_empty() {
                self.tail.pop_front();
            }
        }
    }

    /// All of it in the order in which it was written.
    pub(crate) fn text(&self) -> String {
        self.shown(|_| true, self.left_out())
    }

    /// What was written to one stream.
    pub(crate) fn of(&self, stream: StreamName) -> String {
        let left_out = self.left_out[index(stream)];
        self.shown(|piece| piece.stream == stream, left_out)
    }

    fn shown(&self, wanted: impl Fn(&Piece) -> bool, left_out: u64) -> String {
        let head: Vec<&[u8]> = self
            .head
            .iter()
            .filter(|piece| wanted(piece))
            .map(|piece| &*piece.bytes)
            .collect();
        let tail: Vec<&[u8]> = self
            .tail
            .iter()
            .filter(|piece| wanted(piece))
            .map(|piece| &*piece.bytes)
            .collect();
        let mut text = String::from_utf8_lossy(&head.concat()).into_owned();
        if left_out > 0 && self.tail_max > 0 {
            let line = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            text.push_str(&format!("{line}[... {left_out} bytes left out here ...]\n"));
        }
        text.push_str(&String::from_utf8_lossy(&tail.concat()));
        text
    }
}

/// Of what is kept for each stream.
pub(crate) fn index(stream: StreamName) -> usize {
    usize::from(stream == StreamName::Stderr)
}

fn append(pieces: &mut Vec<Piece>, stream: StreamName, bytes: &[u8]) {
    match pieces.last_mut() {
        Some(last) if last.stream == stream => last.bytes.extend_from_slice(bytes),
        _ => pieces.push(Piece {
            stream,
            bytes: bytes.to_vec(),
        }),
    }
}

/// The bytes that a record of output holds.
pub(crate) fn bytes_of(record: &Record) -> Vec<u8> {
    match record {
        Record::Output { encoding, data, .. } => match encoding.decode(data.clone()) {
            Ok(bytes) => bytes,
            Err(_) => data.clone().into_bytes(),
        },
        Record::Truncated { .. } | Record::End { .. } => Vec::new(),
    }
}

/// The greatest place at or before `at` that does not cut a character of UTF-8; at most three bytes
/// before it, and `at` itself where the bytes are no text.
pub(crate) fn boundary(bytes: &[u8], at: usize) -> usize {
    let at = at.min(bytes.len());
    // A character has four bytes at most: its first is one of the three before the place, and says
    // how many it has.
    for back in 1..=at.min(3) {
        let first = bytes[at - back];
        let length = match first {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if length > back { at - back } else { at };
    }
    at
}

/// The least place at or behind `at` at which a character may begin.
fn ceiling(bytes: &[u8], at: usize) -> usize {
    let at = at.min(bytes.len());
    let continues = |byte: &&u8| (0x80..=0xBF).contains(*byte);
    at + bytes[at..].iter().take(3).take_while(continues).count()
}

#[cfg(test)]
mod tests;
