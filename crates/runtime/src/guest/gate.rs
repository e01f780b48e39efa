//! Starts that can be taken back: the process is made while something else is still being decided.

use std::fmt;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::{Duration, Instant};

use pinfold_proto as proto;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Guest, GuestError, StartSpec, StartedCommand};

/// A command's own timeout begins with the request, so that waiting takes of it: what may be taken
/// is a fiftieth, at most this.
const WAIT_MAX: Duration = Duration::from_millis(100);
const WAIT_SHARE: u32 = 50;
/// Of less than this a fiftieth is too little to decide anything in.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

type Asked = Pin<Box<dyn Future<Output = Result<StartedCommand, GuestError>> + Send + Sync>>;

/// A start behind a gate: its process waits, with all done that changes nothing in the sandbox, until
/// [`GatedStart::open`]. Dropped before, also by the death of this process, the command was never
/// started, and its id is as good as new.
pub struct GatedStart {
    gate: OwnedFd,
    asked: Asked,
    answer: Option<Result<StartedCommand, GuestError>>,
    /// The byte is written.
    is_open: bool,
    begun: Instant,
    patience: Option<Duration>,
}

impl Guest {
    /// Prepares the start; [`GatedStart::answered`] asks. `None` where it has to be started without
    /// a gate: the guest is older than gates, there is no descriptor left, or its timeout is short.
    #[must_use]
    pub fn start_gated(&self, spec: StartSpec) -> Option<GatedStart> {
        if self.inner.minor < proto::GATES_SINCE_MINOR
            || spec.timeout.is_some_and(|timeout| timeout < TIMEOUT_MIN)
        {
            return None;
        }
        let (theirs, gate) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let patience = spec.timeout.map(|all| (all / WAIT_SHARE).min(WAIT_MAX));
        let guest = self.clone();
        Some(GatedStart {
            gate,
            asked: Box::pin(async move { guest.start_at(spec, Some(theirs)).await }),
            answer: None,
            is_open: false,
            begun: Instant::now(),
            patience,
        })
    }
}

impl GatedStart {
    /// Asks, and returns when the guest has answered. May be dropped and called again.
    pub async fn answered(&mut self) {
        if self.answer.is_none() {
            self.answer = Some((&mut self.asked).await);
        }
    }

    /// Lets it run as soon as it is there, without waiting for the guest's answer; says whether it does.
    /// It does not where too much of its own time is gone: it has to be started anew.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn let_through(&mut self) -> Result<bool, GuestError> {
        let waited = self.begun.elapsed();
        if !self.is_open && self.patience.is_none_or(|patience| waited <= patience) {
            // There is room for a byte. Without a reader there is no guest, unless it was never asked.
            rustix::io::write(&self.gate, &[1])?;
            self.is_open = true;
        }
        Ok(self.is_open)
    }

    /// Lets it run, with the guest's answer. `None`: it has to be started anew. With an error, too, it does
    /// not run, unless it was let through or started before.
    pub async fn open(mut self) -> Result<Option<StartedCommand>, GuestError> {
        self.answered().await;
        let started = self.answer.take().unwrap_or(Err(GuestError::Lost))?;
        Ok(self.let_through()?.then_some(started))
    }
}

impl fmt::Debug for GatedStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedStart").finish_non_exhaustive()
    }
}
