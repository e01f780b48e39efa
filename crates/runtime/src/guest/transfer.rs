//! Bulk bytes in and out of the sandbox, through a pipe that the guest fills or empties.
//!
//! Every transfer can be dropped at any time, which cancels it. A pipe's end of file alone proves
//! nothing (the guest's worker may have died): success is what `finish` says.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use pinfold_proto::{self as proto, FailureKind, TransferKind, reply, request};
use prost::Message;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

pub use pinfold_proto::FileEventKind;

use super::file::{FilePath, FileStat, file_stat, path_message};
use super::link::{Call, TransferEnd};
use super::{DEADLINE, Guest, GuestError};

/// Asked for transfers' pipes, where the kernel's per-user limit allows it.
const PIPE_BYTES: usize = 1 << 20;
/// A path of 4 KiB and its kind fit well.
const FILE_EVENT_MAX_BYTES: usize = 16 << 10;

/// How [`Guest::write`] treats its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Permission bits; 0: as the replaced file had, or 0644.
    pub mode: u32,
    /// Make missing directories above.
    pub parents: bool,
    /// Refuse as `Exists` where the file exists.
    pub exclusive: bool,
    /// Refuse to replace the target unless exactly this many bytes came.
    pub expect_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEvent {
    pub kind: FileEventKind,
    /// Relative to the watched directory; empty for the watched path itself.
    pub path: std::path::PathBuf,
}

impl Guest {
    /// Reads a regular file from `offset`, at most `length` bytes.
    pub async fn read(
        &self,
        at: &FilePath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(FileStat, Transfer), GuestError> {
        let message = proto::Transfer {
            offset,
            length,
            ..transfer(at, TransferKind::Read)
        };
        let (pipe, running, answer) = self.begin_out(message).await?;
        match answer {
            reply::Body::Stat(stat) => {
                Ok((self.checked(file_stat(stat))?, Transfer { pipe, running }))
            }
            other => Err(self.unexpected("Stat", &other)),
        }
    }

    /// Writes a file that takes its target's place whole, at [`WriteTransfer::finish`].
    pub async fn write(
        &self,
        at: &FilePath,
        options: WriteOptions,
    ) -> Result<WriteTransfer, GuestError> {
        let message = proto::Transfer {
            mode: options.mode,
            parents: options.parents,
            exclusive: options.exclusive,
            expect: options.expect_bytes,
            ..transfer(at, TransferKind::Write)
        };
        let (pipe, running) = self.begin_in(message).await?;
        Ok(WriteTransfer {
            pipe,
            running,
            written: 0,
        })
    }

    /// A tar of a directory (as `./` and what is below) or of one file (by its name).
    pub async fn archive(&self, at: &FilePath) -> Result<ArchiveTransfer, GuestError> {
        let (pipe, running, answer) = self.begin_out(transfer(at, TransferKind::Archive)).await?;
        match answer {
            reply::Body::Stat(_) | reply::Body::Done(_) => Ok(Transfer { pipe, running }),
            other => Err(self.unexpected("Done", &other)),
        }
    }

    /// Unpacks a tar below a directory; with `parents` the directory is made where it is missing.
    pub async fn extract(
        &self,
        at: &FilePath,
        parents: bool,
    ) -> Result<ExtractTransfer, GuestError> {
        let message = proto::Transfer {
            parents,
            ..transfer(at, TransferKind::Extract)
        };
        let (pipe, running) = self.begin_in(message).await?;
        Ok(ExtractTransfer { pipe, running })
    }

    /// Tells what happens to a file, in a directory, or with `recursive` anywhere below it.
    pub async fn watch(&self, at: &FilePath, recursive: bool) -> Result<Watch, GuestError> {
        let message = proto::Transfer {
            recursive,
            ..transfer(at, TransferKind::Watch)
        };
        let (pipe, running, answer) = self.begin_out(message).await?;
        match answer {
            reply::Body::Stat(_) | reply::Body::Done(_) => Ok(Watch {
                pipe,
                running,
                buffer: Vec::new(),
            }),
            other => Err(self.unexpected("Done", &other)),
        }
    }

    async fn begin_out(
        &self,
        message: proto::Transfer,
    ) -> Result<(pipe::Receiver, Running, reply::Body), GuestError> {
        let (ours, theirs) = wide_pipe()?;
        let (running, answer) = self.begin(message, &theirs).await?;
        Ok((pipe::Receiver::from_owned_fd(ours)?, running, answer))
    }

    async fn begin_in(
        &self,
        message: proto::Transfer,
    ) -> Result<(pipe::Sender, Running), GuestError> {
        let (theirs, ours) = wide_pipe()?;
        let (running, answer) = self.begin(message, &theirs).await?;
        match answer {
            reply::Body::Done(_) => Ok((pipe::Sender::from_owned_fd(ours)?, running)),
            other => Err(self.unexpected("Done", &other)),
        }
    }

    async fn begin(
        &self,
        message: proto::Transfer,
        theirs: &OwnedFd,
    ) -> Result<(Running, reply::Body), GuestError> {
        let call = self.inner.link.call();
        let end = call.transfer_end()?;
        let running = Running {
            guest: self.clone(),
            call,
            end,
            ended: false,
        };
        let body = request::Body::Transfer(message);
        // An error or a dropped caller cancels, through the drop of `running`.
        match running.call.ask(body, &[theirs.as_fd()], DEADLINE).await? {
            (answer, fds) if fds.is_empty() => Ok((running, answer)),
            (other, _) => Err(self.unexpected("no descriptor", &other)),
        }
    }
}

/// Bytes on their way out: read to the end, then [`Transfer::finish`].
#[derive(Debug)]
pub struct Transfer {
    pipe: pipe::Receiver,
    running: Running,
}

/// A tar on its way out.
pub type ArchiveTransfer = Transfer;

impl Transfer {
    /// Whether everything was sent, and how many bytes that were. To be called at the end of file;
    /// what is still unread is lost.
    pub async fn finish(mut self) -> Result<u64, GuestError> {
        self.running.finish().await
    }
}

impl AsyncRead for Transfer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, buffer)
    }
}

impl AsFd for Transfer {
    /// The pipe, for splicing; non-blocking.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// A file on its way in. Dropped before [`WriteTransfer::finish`], it leaves its target untouched.
#[derive(Debug)]
pub struct WriteTransfer {
    pipe: pipe::Sender,
    running: Running,
    written: u64,
}

impl WriteTransfer {
    /// Puts the file in its target's place; returns its size. After a failed write (`BrokenPipe`)
    /// this tells why the guest stopped reading.
    pub async fn finish(self) -> Result<u64, GuestError> {
        let Self {
            pipe,
            mut running,
            written,
        } = self;
        drop(pipe);
        let commit = proto::CommitTransfer {
            transfer: running.call.id,
            bytes: written,
        };
        match running
            .guest
            .done(request::Body::CommitTransfer(commit))
            .await
        {
            // It has ended already, and its end says why.
            Ok(())
            | Err(GuestError::Refused {
                kind: FailureKind::NotFound,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
        running.finish().await
    }

    /// Leaves the target as it was; returns when the guest has stopped working on it.
    pub async fn abort(self) -> Result<(), GuestError> {
        let Self {
            pipe, mut running, ..
        } = self;
        drop(pipe);
        running.cancel();
        match running.finish().await {
            Err(GuestError::Refused { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl AsyncWrite for WriteTransfer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = written {
            self.written += written as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    /// Does nothing: only [`WriteTransfer::finish`] ends a write.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A tar on its way in. What was unpacked before a failure or a drop stays.
#[derive(Debug)]
pub struct ExtractTransfer {
    pipe: pipe::Sender,
    running: Running,
}

impl ExtractTransfer {
    /// Waits until everything is unpacked; returns the bytes read. After a failed write
    /// (`BrokenPipe`) this tells why the guest stopped reading.
    pub async fn finish(self) -> Result<u64, GuestError> {
        let Self { pipe, mut running } = self;
        drop(pipe);
        running.finish().await
    }
}

impl AsyncWrite for ExtractTransfer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    /// Does nothing: only [`ExtractTransfer::finish`] ends it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// File events on their way out, until dropped.
#[derive(Debug)]
pub struct Watch {
    pipe: pipe::Receiver,
    running: Running,
    /// Bytes of events not yet whole: less than one event and one read.
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event; `None` when the watch ended by itself (the watched directory is gone).
    pub async fn next(&mut self) -> Result<Option<FileEvent>, GuestError> {
        loop {
            if let Some(event) = self.running.guest.checked(take_event(&mut self.buffer))? {
                return Ok(Some(event));
            }
            if self.pipe.read_buf(&mut self.buffer).await? == 0 {
                self.running.finish().await?;
                return Ok(None);
            }
        }
    }
}

fn take_event(buffer: &mut Vec<u8>) -> Result<Option<FileEvent>, GuestError> {
    let broken = |_| GuestError::Protocol("a file event that does not decode".into());
    let mut rest = buffer.as_slice();
    let Ok(len) = prost::decode_length_delimiter(&mut rest) else {
        // A length is at most ten bytes; fewer may just not be whole yet.
        let whole = buffer.len() >= 10;
        return if whole {
            Err(GuestError::Protocol("a bad length".into()))
        } else {
            Ok(None)
        };
    };
    if len > FILE_EVENT_MAX_BYTES {
        return Err(GuestError::Protocol("a file event too long".into()));
    }
    if rest.len() < len {
        return Ok(None);
    }
    let event = proto::FileEvent::decode(&rest[..len]).map_err(broken)?;
    let used = buffer.len() - rest.len() + len;
    buffer.drain(..used);
    let path =
        <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(event.path.clone());
    let path = std::path::PathBuf::from(path);
    Ok(Some(FileEvent {
        kind: event.kind(),
        path,
    }))
}

/// What every transfer is: cancelled when it is dropped before its end.
#[derive(Debug)]
struct Running {
    guest: Guest,
    call: Call,
    end: TransferEnd,
    ended: bool,
}

impl Running {
    async fn finish(&mut self) -> Result<u64, GuestError> {
        let bytes = self.end.wait().await;
        self.ended = true;
        bytes
    }

    fn cancel(&self) {
        let cancel = proto::CancelTransfer {
            transfer: self.call.id,
        };
        self.guest
            .inner
            .link
            .call()
            .tell(request::Body::CancelTransfer(cancel));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.cancel();
        }
    }
}

fn transfer(at: &FilePath, kind: TransferKind) -> proto::Transfer {
    proto::Transfer {
        at: Some(path_message(at)),
        kind: kind.into(),
        ..Default::default()
    }
}

/// `(reader, writer)`. Each side sets the flags of its own end: ours must not block, since a guest may stand
/// still for as long as it likes.
fn wide_pipe() -> Result<(OwnedFd, OwnedFd), GuestError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // Over the user's limit the default of 64 KiB has to do.
    let _ = fcntl_setpipe_size(&reader, PIPE_BYTES);
    Ok((reader, writer))
}
