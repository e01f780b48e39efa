//! Where to start looking for a sequence number or a byte of a stream. Pure.
//!
//! Sparse: one place about every [`FIRST_STRIDE`] bytes of file. When [`PLACES_MAX`] places are
//! held, every second one is dropped and the stride doubles, so that memory is bounded (200 KiB)
//! and a seek hops over the headers of one stride at most.

use pinfold_model::journal::Stream;

const FIRST_STRIDE: u64 = 256 << 10;
const PLACES_MAX: usize = 4096;

/// A record's position: everything a reader has to know to start at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// File offset of its header.
    pub(super) offset: u64,
    /// Its sequence number.
    pub(super) seq: u64,
    /// Bytes of stdout and of stderr in the records before it.
    pub(super) before: StreamBytes,
}

/// A count of bytes for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StreamBytes {
    pub(super) stdout: u64,
    pub(super) stderr: u64,
}

impl StreamBytes {
    pub(super) const fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    pub(super) const fn add(&mut self, stream: Stream, bytes: u64) {
        match stream {
            Stream::Stdout => self.stdout += bytes,
            Stream::Stderr => self.stderr += bytes,
        }
    }

    pub(super) const fn sum(&self) -> u64 {
        self.stdout + self.stderr
    }
}

#[derive(Debug)]
pub(super) struct Index {
    places: Vec<Place>,
    stride: u64,
    next: u64,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            stride: FIRST_STRIDE,
            next: FIRST_STRIDE,
        }
    }

    /// Takes note of a record. Records come in the order of the file.
    pub(super) fn note(&mut self, place: Place) {
        if place.offset < self.next {
            return;
        }
        if self.places.len() == PLACES_MAX {
            let mut odd = false;
            self.places.retain(|_| {
                odd = !odd;
                odd
            });
            self.stride *= 2;
        }
        self.places.push(place);
        self.next = place.offset + self.stride;
    }

    /// The last known record that is not after record `seq`.
    pub(super) fn before_seq(&self, seq: u64) -> Place {
        self.last_where(|place| place.seq <= seq)
    }

    /// The last known record with fewer than `byte` bytes of `stream` before it: neither that byte
    /// nor a mark that follows the last byte of the stream stands earlier.
    pub(super) fn before_byte(&self, stream: Stream, byte: u64) -> Place {
        self.last_where(|place| place.before.of(stream) < byte)
    }

    /// All known places, the first record included, in the order of the file.
    pub(super) fn places(&self) -> Vec<Place> {
        std::iter::once(START)
            .chain(self.places.iter().copied())
            .collect()
    }

    fn last_where(&self, holds: impl Fn(&Place) -> bool) -> Place {
        let after = self.places.partition_point(holds);
        after.checked_sub(1).map_or(START, |at| self.places[at])
    }
}

/// The first record of every journal.
pub(super) const START: Place = Place {
    offset: 0,
    seq: 1,
    before: StreamBytes {
        stdout: 0,
        stderr: 0,
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_stays_small_and_finds_a_place_near_every_record() {
        let mut index = Index::new();
        let mut place = START;
        let total = 100_000_u64;
        for _ in 0..total {
            index.note(place);
            place.offset += 40_000;
            place.seq += 1;
            place.before.add(Stream::Stdout, 39_000);
        }
        assert!(index.places.len() <= PLACES_MAX);
        for seq in [1, 2, 7, 4096, 50_000, total] {
            let found = index.before_seq(seq);
            assert!(found.seq <= seq);
            assert!((seq - found.seq) * 40_000 <= index.stride + 40_000);
            assert_eq!(
                index.before_byte(Stream::Stdout, (seq - 1) * 39_000 + 1),
                found
            );
        }
        assert_eq!(index.before_seq(0), START);
        assert_eq!(index.before_byte(Stream::Stdout, 0), START);
    }
}
