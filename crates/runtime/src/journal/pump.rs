//! Moves what a command writes into its journal for as long as anybody may write.
//!
//! ```text
//! start -> drain both pipes, in turns, whenever something waits
//!          finish(state): drain what waits now, append End     (the command itself has ended)
//!       -> go on draining what its background children write
//!       -> every pipe at its end, or stopped
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinfold_model::CommandState;
use pinfold_model::journal::Stream;
use pinfold_sys::watch::{self, Watched};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch as latest};
use tokio::task::JoinHandle;

use super::source::{Means, Source};
use super::status::Status;
use super::writer::{JournalWriter, NotAnEnding, Taken};

/// One turn moves this much before the other stream, and other tasks, get theirs.
const TURN_BYTES: usize = 1 << 20;
/// After so little the pipe is not asked again whether more has come: that wakes the pump anyway.
const TRICKLE_BYTES: usize = 4096;
/// How often to try again to write a mark that the disk refused.
const RETRY: Duration = Duration::from_secs(1);

/// Pumps one command's output. Dropping it stops it: keep it while late output is wanted. Only after
/// [`Pump::stop`] has returned is the journal sure to be free for `reopen` and `remove`.
#[derive(Debug)]
pub struct Pump {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    outlets: Vec<Outlet>,
    writer: Mutex<JournalWriter>,
    /// A mark may be unwritten, End was appended, or every pipe is at its end.
    marked: Notify,
    closed: latest::Sender<bool>,
}

#[derive(Debug)]
struct Outlet {
    stream: Stream,
    fd: AsyncFd<Watched>,
    means: Means,
}

impl Pump {
    /// Starts pumping on the current tokio runtime. `stdout` and `stderr` are reading ends of pipes;
    /// a terminal or socket works too, but its bytes pass through this process. A terminal has
    /// `stdout` only.
    pub fn start(
        writer: JournalWriter,
        stdout: OwnedFd,
        stderr: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let stderr = stderr.map(|fd| (Stream::Stderr, fd));
        let outlets = std::iter::once((Stream::Stdout, stdout))
            .chain(stderr)
            .map(|(stream, fd)| Outlet::new(stream, fd))
            .collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            outlets,
            writer: Mutex::new(writer),
            marked: Notify::new(),
            closed: latest::Sender::new(false),
        });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Ok(Self { shared, task })
    }

    /// To be called when the command's own process has ended: journals what waits in the pipes now
    /// (at most what they hold, so a child that goes on writing delays nothing), appends End, and
    /// returns its sequence number. Repeating it changes nothing.
    ///
    /// The output of a terminal can arrive shortly after its last process has ended: wait for
    /// [`Self::closed`], with a bound, before.
    pub fn finish(&self, state: CommandState) -> Result<u64, NotAnEnding> {
        let mut writer = self.shared.writer();
        if writer.status().end.is_none() && state.is_terminal() {
            for outlet in &self.shared.outlets {
                outlet.take_waiting(&mut writer);
            }
        }
        let seq = writer.end(state)?;
        drop(writer);
        self.shared.marked.notify_one();
        Ok(seq)
    }

    /// The journal as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.shared.writer().status()
    }

    /// Returns when all output has been closed by all who could write to it.
    pub async fn closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        // The sender lives as long as `self`.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Stops listening. What waits in the pipes stays there.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let pump = async {
            match &self.outlets[..] {
                [only] => self.drain(only).await,
                outlets => {
                    let [first, second] = [&outlets[0], &outlets[1]];
                    tokio::join!(self.drain(first), self.drain(second));
                }
            }
            self.writer().drained();
            self.closed.send_replace(true);
            self.marked.notify_one();
        };
        tokio::join!(pump, self.keep_marks());
    }

    async fn drain(&self, outlet: &Outlet) {
        loop {
            let Ok(mut guard) = outlet.fd.readable().await else {
                return;
            };
            let is_closed = guard.ready().is_read_closed();
            match self.turn(outlet) {
                Turn::Spent => tokio::task::yield_now().await,
                Turn::End => return,
                Turn::Empty if is_closed => return,
                Turn::Empty | Turn::Trickle => guard.clear_ready(),
            }
        }
    }

    fn turn(&self, outlet: &Outlet) -> Turn {
        let mut writer = self.writer();
        let had_marks = writer.status().has_unwritten();
        let turn = outlet.turn(&mut writer);
        if writer.status().has_unwritten() && !had_marks {
            self.marked.notify_one();
        }
        turn
    }

    /// Writes marks that the disk refused as soon as it takes them. Ends when no mark can come.
    async fn keep_marks(&self) {
        loop {
            self.marked.notified().await;
            while !self.writer().flush_marks() {
                tokio::time::sleep(RETRY).await;
            }
            if *self.closed.borrow() && self.writer().status().end.is_some() {
                return;
            }
        }
    }

    fn writer(&self) -> MutexGuard<'_, JournalWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a turn at an outlet ended.
enum Turn {
    /// More may wait.
    Spent,
    /// A little came, and probably nothing waits.
    Trickle,
    /// Nothing came.
    Empty,
    /// Nothing will come.
    End,
}

impl Outlet {
    fn new(stream: Stream, fd: OwnedFd) -> io::Result<Self> {
        let means = Means::of(&fd)?;
        Ok(Self {
            stream,
            fd: watch::watch(fd, Interest::READABLE)?,
            means,
        })
    }

    fn source(&self) -> Source<'_> {
        Source::new(self.fd.get_ref().as_fd(), self.means)
    }

    fn turn(&self, writer: &mut JournalWriter) -> Turn {
        let mut left = TURN_BYTES;
        while left > 0 {
            match writer.take(self.stream, self.source(), left) {
                Taken::Bytes {
                    count,
                    emptied: true,
                } if count < TRICKLE_BYTES => {
                    return Turn::Trickle;
                }
                Taken::Bytes { count, .. } => left = left.saturating_sub(count),
                Taken::Nothing => return Turn::Empty,
                Taken::End => return Turn::End,
            }
        }
        Turn::Spent
    }

    /// Takes what waits at this moment, and nothing that comes later.
    fn take_waiting(&self, writer: &mut JournalWriter) {
        let source = self.source();
        let mut left = source.available().unwrap_or(0);
        while left > 0 {
            match writer.take(self.stream, source, left) {
                Taken::Bytes { count, .. } => left = left.saturating_sub(count),
                Taken::Nothing | Taken::End => return,
            }
        }
    }
}
