//! The reading end of what a command writes to.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// A pipe that was found full is given this capacity, so that a flood costs fewer turns.
const WIDE_PIPE: usize = 256 << 10;
/// What an ordinary pipe holds (pipe(7)).
const PLAIN_PIPE: usize = 64 << 10;

/// The reading end of a pipe, or of something like one (a terminal, a socket).
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    fd: BorrowedFd<'a>,
    means: Means,
}

/// How bytes get out of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// From kernel to kernel: out of a pipe.
    Splice,
    /// Read, then written: between the two they exist only in this process.
    Copy,
}

impl Means {
    /// The best that `fd` allows. What is no pipe is made non-blocking; a pipe is left as it is,
    /// since another process can share it, and is never asked for more than it holds.
    pub(super) fn of(fd: impl AsFd) -> io::Result<Self> {
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Fifo {
            return Ok(Self::Splice);
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self::Copy)
    }
}

/// How much came, and why no more did.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) bytes: usize,
    /// The target failed. The source is never the reason: what it cannot give is just not there.
    pub(super) error: Option<io::Error>,
}

impl<'a> Source<'a> {
    pub(super) const fn new(fd: BorrowedFd<'a>, means: Means) -> Self {
        Self { fd, means }
    }

    pub(super) const fn means(&self) -> Means {
        self.means
    }

    /// How many bytes wait in the pipe.
    pub(super) fn available(&self) -> io::Result<usize> {
        let bytes = rustix::io::ioctl_fionread(self.fd)?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Gives a pipe that is full more room. Failing (a quota of pipe(7)) costs speed only.
    pub(super) fn widen(&self, available: usize) {
        if available == PLAIN_PIPE {
            let _ = rustix::pipe::fcntl_setpipe_size(self.fd, WIDE_PIPE);
        }
    }

    /// Moves up to `len` waiting bytes to `offset` of `file` inside the kernel: whatever ends this
    /// process, each byte is then in the pipe or in the file.
    pub(super) fn move_to(&self, file: &File, mut offset: u64, len: usize) -> Moved {
        let mut moved = 0;
        while moved < len {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match rustix::pipe::splice(self.fd, None, file, Some(&mut offset), len - moved, flags) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(bytes) => moved += bytes,
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Moved {
                        bytes: moved,
                        error: Some(error.into()),
                    };
                }
            }
        }
        Moved {
            bytes: moved,
            error: None,
        }
    }

    /// Throws up to `len` waiting bytes away; `null` is `/dev/null`.
    pub(super) fn discard(&self, null: &File, len: usize) -> io::Result<usize> {
        loop {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match rustix::pipe::splice(self.fd, None, null, None, len, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                other => return Ok(other?),
            }
        }
    }

    /// Reads what waits; `None` when there is nothing now, 0 at the end.
    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(self.fd, &mut *into) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                // The last process on a terminal has closed it.
                Err(Errno::IO) => return Ok(Some(0)),
                other => return Ok(Some(other?)),
            }
        }
    }
}
