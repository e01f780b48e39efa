//! Bytes between our own stdio and a command's pipes: by `splice` where the kernel can, else by
//! reading and writing. Knows nothing of guests.
//!
//! One thread a direction, because our own stdio may be anything (a file, which no poller takes; a
//! blocking pipe whose flags belong to others) and must not hold up signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{SpliceFlags, splice};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// Most bytes of one step, and the size asked for the pipes.
const STEP_BYTES: usize = 1 << 20;
/// Buffer of the way without splice.
const BUFFER_BYTES: usize = 128 << 10;

/// What a pump tells while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Our own stdin is at its end, and the command's pipe is closed here.
    InputEnded,
    /// The command wrote what nobody can be given any more: the reader of our own output is gone.
    /// Told again while that goes on.
    Unwanted,
}

/// A pump of output.
#[derive(Debug)]
pub(crate) struct Output {
    stop: Arc<OwnedFd>,
    done: oneshot::Receiver<()>,
}

impl Output {
    /// From a command's pipe to a descriptor of ours, until the pipe's end or [`Output::finish`].
    pub(crate) fn start(
        pipe: OwnedFd,
        target: BorrowedFd<'static>,
        news: mpsc::Sender<News>,
    ) -> io::Result<Self> {
        // More room means fewer switches between the processes; the kernel may refuse.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, STEP_BYTES);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let (ended, done) = oneshot::channel();
        thread::Builder::new()
            .name("pinfold-output".to_owned())
            .spawn(move || {
                deliver(&pipe, target, &stopped, &news);
                // The receiver may be gone.
                let _ = ended.send(());
            })?;
        Ok(Self { stop, done })
    }

    /// Returns when the pipe has ended, at most after `patience`.
    pub(crate) async fn closed(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, &mut self.done).await;
    }

    /// What is in the pipe now is still delivered, and nothing of what comes later.
    pub(crate) fn finish(&self) {
        // A counter of one cannot overflow.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
    }

    /// Returns when everything is delivered.
    pub(crate) async fn finished(&mut self) {
        if !self.done.is_terminated() {
            let _ = (&mut self.done).await;
        }
    }
}

/// Pumps our own stdin into a command's pipe, until either ends. The thread ends with the process.
pub(crate) fn start_input(pipe: OwnedFd, news: mpsc::Sender<News>) -> io::Result<()> {
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, STEP_BYTES);
    thread::Builder::new()
        .name("pinfold-input".to_owned())
        .spawn(move || {
            match feed(rustix::stdio::stdin(), &pipe) {
                Fed::Everything => {
                    // The command sees the end only when nobody holds the pipe.
                    drop(pipe);
                    let _ = news.blocking_send(News::InputEnded);
                }
                Fed::NobodyReads => give_up_stdin(),
            }
        })?;
    Ok(())
}

/// Who writes to us learns that nobody reads, as if the command itself had been there.
fn give_up_stdin() {
    if let Ok(null) = std::fs::File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(null);
    }
}

fn deliver(pipe: &OwnedFd, target: BorrowedFd<'_>, stop: &OwnedFd, news: &mpsc::Sender<News>) {
    let mut mover = Mover::towards(target);
    let end = loop {
        match wait_for_either(pipe.as_fd(), stop.as_fd()) {
            Ready::Stop => {
                break mover.exactly(pipe.as_fd(), target, waiting_bytes(pipe));
            }
            Ready::Data => match mover.step(pipe.as_fd(), target, STEP_BYTES) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(fault) => break Err(fault),
            },
        }
    };
    if let Err(Fault::Target) = end {
        discard(pipe, stop, news);
    }
}

/// Keeps the pipe from filling, so that the command finds out by signal and not by waiting.
fn discard(pipe: &OwnedFd, stop: &OwnedFd, news: &mpsc::Sender<News>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // Waiting here would keep the last of the pipe from being taken; where the queue is full,
        // the same is in it already.
        if let Err(TrySendError::Closed(_)) = news.try_send(News::Unwanted) {
            return;
        }
        loop {
            if let Ready::Stop = wait_for_either(pipe.as_fd(), stop.as_fd()) {
                return;
            }
            match retry_on_intr(|| rustix::io::read(pipe, &mut buffer)) {
                Ok(0) => return,
                Ok(_) => break,
                Err(Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }
}

enum Fed {
    Everything,
    NobodyReads,
}

fn feed(source: BorrowedFd<'_>, pipe: &OwnedFd) -> Fed {
    let mut mover = Mover::default();
    loop {
        wait(source, PollFlags::IN);
        match mover.step(source, pipe.as_fd(), STEP_BYTES) {
            Ok(0) | Err(Fault::Source) => return Fed::Everything,
            Ok(_) => {}
            Err(Fault::Target) => return Fed::NobodyReads,
        }
    }
}

/// Which side ended the moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Source,
    Target,
}

/// Moves bytes, and remembers whether the kernel can do it for this pair of descriptors.
#[derive(Default)]
struct Mover {
    /// Set where splice cannot be used, or once it has been refused.
    buffer: Option<Vec<u8>>,
}

impl Mover {
    /// splice reads and sets a file's position without the lock that write takes, so two pumps into
    /// one open file (`> log 2>&1`) would write over each other: files are written.
    fn towards(target: BorrowedFd<'_>) -> Self {
        let is_file = rustix::fs::fstat(target)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        Self {
            buffer: is_file.then(|| vec![0; BUFFER_BYTES]),
        }
    }

    /// Moves some bytes, at most `max`; 0 at the end of the source. Waits for the target, and for
    /// the source where that blocks.
    fn step(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        max: usize,
    ) -> Result<usize, Fault> {
        loop {
            if let Some(buffer) = &mut self.buffer {
                return copy(source, target, buffer, max);
            }
            match splice(source, None, target, None, max, SpliceFlags::MOVE) {
                Ok(moved) => return Ok(moved),
                // One of the two is not ready; if it was the source, the next call waits for it.
                Err(Errno::AGAIN) => {
                    wait(target, PollFlags::OUT);
                    wait(source, PollFlags::IN);
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Err(Fault::Target),
                // Not for this pair (a terminal, an append-only file), or a fault: reading and
                // writing one after the other tells on which side.
                Err(_) => self.buffer = Some(vec![0; BUFFER_BYTES]),
            }
        }
    }

    fn exactly(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        bytes: u64,
    ) -> Result<(), Fault> {
        let mut left = bytes;
        while left > 0 {
            let max = usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            match self.step(source, target, max)? {
                0 => return Ok(()),
                moved => left -= moved as u64,
            }
        }
        Ok(())
    }
}

fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    buffer: &mut [u8],
    max: usize,
) -> Result<usize, Fault> {
    let room = buffer.len().min(max);
    let read = loop {
        match rustix::io::read(source, &mut buffer[..room]) {
            Ok(read) => break read,
            Err(Errno::AGAIN) => wait(source, PollFlags::IN),
            Err(Errno::INTR) => {}
            Err(_) => return Err(Fault::Source),
        }
    };
    let mut rest = &buffer[..read];
    while !rest.is_empty() {
        match rustix::io::write(target, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::AGAIN) => wait(target, PollFlags::OUT),
            Err(Errno::INTR) => {}
            Err(_) => return Err(Fault::Target),
        }
    }
    Ok(read)
}

enum Ready {
    Data,
    Stop,
}

fn wait_for_either(pipe: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> Ready {
    let mut both = [
        PollFd::from_borrowed_fd(pipe, PollFlags::IN),
        PollFd::from_borrowed_fd(stop, PollFlags::IN),
    ];
    // Poll fails for want of memory or by a signal; looking again is all one can do.
    while poll(&mut both, None).is_err() {}
    if both[1].revents().is_empty() {
        Ready::Data
    } else {
        Ready::Stop
    }
}

/// Returns when `fd` is ready or broken; at once for what cannot be polled.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags) {
    while poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None) == Err(Errno::INTR) {}
}

fn waiting_bytes(pipe: &OwnedFd) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    fn pipe() -> (OwnedFd, OwnedFd) {
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let flags = rustix::fs::fcntl_getfl(&reader).expect("flags");
        rustix::fs::fcntl_setfl(&reader, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
        (reader, writer)
    }

    /// Tests have no descriptor that lives for ever, save by leaking one.
    fn leaked(fd: OwnedFd) -> BorrowedFd<'static> {
        let kept: &'static OwnedFd = Box::leak(Box::new(fd));
        kept.as_fd()
    }

    #[tokio::test]
    async fn what_was_written_before_the_end_is_delivered_though_the_pipe_stays_open() {
        let (from, held) = pipe();
        let mut target = tempfile::tempfile().expect("file");
        let (news, _listening) = mpsc::channel(4);
        let mut held = std::fs::File::from(held);
        held.write_all(&[7; 50_000]).expect("room");
        let copy = target.try_clone().expect("clone");
        let mut output = Output::start(from, leaked(copy.into()), news).expect("start");
        output.finish();
        output.finished().await;
        drop(held);
        let mut seen = Vec::new();
        target.rewind().expect("rewind");
        target.read_to_end(&mut seen).expect("read");
        assert_eq!(seen, [7; 50_000]);
    }

    #[tokio::test]
    async fn append_only_files_take_output_too() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("log");
        std::fs::write(&path, b"old ").expect("write");
        let log = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("open");
        let (from, to) = pipe();
        let (news, _listening) = mpsc::channel(4);
        let mut output = Output::start(from, leaked(log.into()), news).expect("start");
        std::fs::File::from(to).write_all(b"new").expect("write");
        output.finished().await;
        assert_eq!(std::fs::read(path).expect("read"), b"old new");
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_told_for_each_piece() {
        let (from, to) = pipe();
        let (gone, target) = pipe();
        drop(gone);
        let (news, mut heard) = mpsc::channel(4);
        let mut output = Output::start(from, leaked(target), news).expect("start");
        let mut to = std::fs::File::from(to);
        for _ in 0..2 {
            to.write_all(b"x").expect("it is read");
            assert_eq!(heard.recv().await, Some(News::Unwanted));
        }
        drop(to);
        output.finished().await;
    }

    #[test]
    fn stdin_of_any_kind_ends() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("input");
        std::fs::write(&path, vec![9; 200_000]).expect("write");
        let file = std::fs::File::open(path).expect("open");
        let (reader, writer) = pipe();
        let count = thread::spawn(move || {
            let mut total = 0;
            let mut mover = Mover {
                buffer: Some(vec![0; BUFFER_BYTES]),
            };
            let null = std::fs::File::create("/dev/null").expect("null");
            loop {
                match mover
                    .step(reader.as_fd(), null.as_fd(), STEP_BYTES)
                    .expect("moved")
                {
                    0 => return total,
                    moved => total += moved,
                }
            }
        });
        assert!(matches!(feed(file.as_fd(), &writer), Fed::Everything));
        drop(writer);
        assert_eq!(count.join().expect("counted"), 200_000);
    }
}
