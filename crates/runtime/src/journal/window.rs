//! Reads a file forward with few system calls and little memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::format::HEADER_BYTES;

/// Read ahead while records are small.
const WIDE: usize = 64 << 10;
/// Read ahead after a large record: the next one is probably large, and its bytes are better read
/// straight to where they are wanted.
const NARROW: usize = 512;
/// Where large begins, in bytes between two headers.
const LARGE: u64 = 16 << 10;

/// A piece of a file, [`WIDE`] bytes at most. Valid only for a part of the file that never changes.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: u64,
    last_header: u64,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            last_header: 0,
        }
    }

    /// The header at `offset`, which together with its 32 bytes lies below `limit`; nothing at or
    /// above `limit` is read.
    pub(super) fn header(
        &mut self,
        file: &File,
        offset: u64,
        limit: u64,
    ) -> io::Result<[u8; HEADER_BYTES]> {
        let mut header = [0; HEADER_BYTES];
        let ahead = if offset.saturating_sub(self.last_header) > LARGE {
            NARROW
        } else {
            WIDE
        };
        self.last_header = offset;
        if self.held(offset).len() < HEADER_BYTES {
            self.fill(file, offset, ahead, limit)?;
        }
        header.copy_from_slice(&self.held(offset)[..HEADER_BYTES]);
        Ok(header)
    }

    /// Fills `into` from `offset`.
    pub(super) fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let held = self.held(offset);
        let len = held.len().min(into.len());
        into[..len].copy_from_slice(&held[..len]);
        file.read_exact_at(&mut into[len..], offset + len as u64)
    }

    /// The `len` bytes from `offset` on.
    pub(super) fn bytes(&self, file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let held = self.held(offset);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&held[..held.len().min(len)]);
        complete(file, offset, len, &mut bytes)?;
        Ok(bytes)
    }

    /// What is held from `offset` on; empty when that lies outside.
    fn held(&self, offset: u64) -> &[u8] {
        offset
            .checked_sub(self.start)
            .and_then(|skip| self.bytes.get(usize::try_from(skip).ok()?..))
            .unwrap_or_default()
    }

    fn fill(&mut self, file: &File, offset: u64, ahead: usize, limit: u64) -> io::Result<()> {
        let len = usize::try_from(limit - offset)
            .unwrap_or(usize::MAX)
            .min(ahead);
        self.bytes.clear();
        self.bytes.reserve_exact(len);
        self.start = offset;
        complete(file, offset, len, &mut self.bytes)
    }
}

/// Reads on until `bytes`, which begin at `offset`, are `len`. Unlike a read into a slice this
/// clears no memory first, a third of the cost of following a flood.
fn complete(file: &File, offset: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The capacity may be more than was asked for, and what stands there may be unfinished.
    bytes.truncate(len);
    Ok(())
}
