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

    /// Lets it run. `None`: too much of its own time is gone, it has to be started anew. With an
    /// error, too, it does not run, unless it was started before.
    pub async fn open(mut self) -> Result<Option<StartedCommand>, GuestError> {
        self.answered().await;
        let started = self.answer.take().unwrap_or(Err(GuestError::Lost))?;
        let waited = self.begun.elapsed();
        if self.patience.is_some_and(|patience| waited > patience) {
            return Ok(None);
        }
        // There is room for a byte. Without a reader the guest is gone.
        rustix::io::write(&self.gate, &[1])?;
        Ok(Some(started))
    }
}

impl fmt::Debug for GatedStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedStart").finish_non_exhaustive()
    }
}
