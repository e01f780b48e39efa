//! A worker's two pipes: its data, and the control that tells it to stop or to commit.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use pinfold_proto::FailureKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::boot::nonblocking;
use crate::failure::{Outcome, Refusal};

/// How long a host that has sent all bytes may take to say that it meant it.
const COMMIT_TIME: Duration = Duration::from_secs(60);
/// Between file and pipe. Through memory and not by splice, which holds the pipe's lock for as long as the
/// disk takes: the host would wait for that, in a thread that has other things to do.
const COPY_BYTES: usize = 128 << 10;

/// The data pipe of one direction. Reading and writing wait for the host, and stop with
/// `ConnectionAborted` when the transfer is cancelled.
#[derive(Debug)]
pub(super) struct Data<'a> {
    pipe: OwnedFd,
    control: &'a OwnedFd,
    /// Bytes moved.
    pub(super) bytes: u64,
    /// A commit that came while waiting for something else.
    commit: Option<u64>,
}

impl<'a> Data<'a> {
    pub(super) fn new(pipe: OwnedFd, control: &'a OwnedFd) -> rustix::io::Result<Self> {
        nonblocking(&pipe)?;
        nonblocking(control)?;
        Ok(Self {
            pipe,
            control,
            bytes: 0,
            commit: None,
        })
    }

    /// Moves a file's bytes out, from where it stands, at most `limit`.
    pub(super) fn send_file(&mut self, file: &OwnedFd, limit: u64) -> io::Result<u64> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = limit;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let read = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer[..len]))?;
            if read == 0 {
                break;
            }
            self.write_all(&buffer[..read])?;
            left -= read as u64;
        }
        Ok(limit - left)
    }

    /// Moves everything that comes into a file.
    pub(super) fn receive_file(&mut self, file: &OwnedFd) -> io::Result<()> {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = self.read(&mut buffer)?;
            let mut rest = &buffer[..read];
            if rest.is_empty() {
                return Ok(());
            }
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(file, rest))?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = &rest[written..];
            }
        }
    }

    /// Waits for the host's word that all bytes were sent; returns how many it meant.
    pub(super) fn committed(&mut self) -> Outcome<u64> {
        let end = Instant::now() + COMMIT_TIME;
        loop {
            if let Some(bytes) = self.commit {
                return Ok(bytes);
            }
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
            let mut control = [PollFd::new(self.control, PollFlags::IN)];
            match poll(&mut control, Some(&timeout)) {
                Ok(0) => {
                    let message = "the host sent everything and never committed it";
                    return Err(Refusal::new(FailureKind::Cancelled, message));
                }
                Ok(_) => self.hear().map_err(|error| refusal("transfer", &error))?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Refusal::kernel("transfer", errno)),
            }
        }
    }

    /// Waits until the pipe (or `other`, too) is ready.
    fn wait(&mut self, flags: PollFlags) -> io::Result<()> {
        let mut fds = [
            PollFd::new(&self.pipe, flags),
            PollFd::new(self.control, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [pipe, control] = &fds;
        let (pipe, control) = (pipe.revents(), control.revents());
        if !control.is_empty() {
            self.hear()?;
        }
        // The reader is gone; a write would say the same, a wait for something else would not.
        if flags == PollFlags::OUT && pipe.contains(PollFlags::ERR) {
            return Err(Errno::PIPE.into());
        }
        Ok(())
    }

    /// Waits until `other` can be read; an error when the host is gone or has cancelled.
    pub(super) fn wait_for(&mut self, other: BorrowedFd<'_>) -> io::Result<()> {
        let mut fds = [
            PollFd::from_borrowed_fd(other, PollFlags::IN),
            PollFd::new(&self.pipe, PollFlags::empty()),
            PollFd::new(self.control, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [_, pipe, control] = &fds;
        let (broken, told) = (
            pipe.revents().contains(PollFlags::ERR),
            !control.revents().is_empty(),
        );
        if told {
            self.hear()?;
        }
        if broken {
            Err(Errno::PIPE.into())
        } else {
            Ok(())
        }
    }

    /// Takes what the control pipe holds: a commit, or the end, which means stop.
    fn hear(&mut self) -> io::Result<()> {
        let mut bytes = [0; 8];
        match rustix::io::read(self.control.as_fd(), &mut bytes) {
            Ok(8) => {
                self.commit = Some(u64::from_ne_bytes(bytes));
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Ok(_) | Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(len) => {
                    self.bytes += len as u64;
                    return Ok(len);
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Write for Data<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.pipe, bytes) {
                Ok(len) => {
                    self.bytes += len as u64;
                    return Ok(len);
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an error of [`Data`] or a file means for the host.
pub(super) fn refusal(subject: &str, error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return Refusal::new(FailureKind::Cancelled, "cancelled");
    }
    Refusal::io(subject, error)
}
