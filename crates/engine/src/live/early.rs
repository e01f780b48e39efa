//! What of a command's start is done while its record is being written.
//!
//! ```text
//! the guest is asked, gate shut ---+
//! record -------------------------+--> recorded: the gate is opened, the program begins
//!                                  `-> refused, or a crash: the gate falls away, nothing ever ran
//! ```
//! Nothing of it is told to anybody before the record is written.

use std::future::Future;
use std::sync::Arc;

use pinfold_runtime::guest::{GatedStart, GuestError, StartSpec, StartedCommand};
use tokio::sync::OwnedSemaphorePermit;

use super::{Lease, LiveCommand};

/// Processes of one sandbox that wait for their records at once; further commands are started when
/// they are recorded. Those of requests that turn out to be repeated take of what it may have.
pub(super) const GATES_MAX: usize = 4;

/// Dropped, it leaves nothing.
#[derive(Default)]
pub(crate) struct Early {
    /// What stdin begins with, where that is at hand.
    pub(super) input: Option<Arc<[u8]>>,
    gated: Option<Gated>,
}

struct Gated {
    start: GatedStart,
    _turn: OwnedSemaphorePermit,
}

impl Early {
    /// Prepares the start where the guest can be reached right now.
    pub(crate) fn new(command: &LiveCommand, lease: &Lease, input: Option<Arc<[u8]>>) -> Self {
        Self {
            gated: Gated::new(command, lease, input.as_ref()),
            input,
        }
    }

    /// Asks the guest while `record` is under way, for no longer than that.
    pub(crate) async fn beside<T>(&mut self, record: impl Future<Output = T>) -> T {
        tokio::pin!(record);
        tokio::select! {
            biased;
            // First: SQLite writes the record here and now, and the guest works meanwhile.
            _ = self.answered() => {}
            recorded = &mut record => return recorded,
        }
        record.await
    }

    /// Waits for the guest's answer; whether anything was asked.
    pub(super) async fn answered(&mut self) -> bool {
        match &mut self.gated {
            Some(gated) => {
                gated.start.answered().await;
                true
            }
            None => false,
        }
    }

    /// Lets begin what was asked for, also where the guest has not answered yet.
    pub(super) fn let_through(&mut self) {
        if let Some(gated) = &mut self.gated
            && let Err(error) = gated.start.let_through()
        {
            // Whoever asks for the answer hears of it, and starts it anew.
            tracing::debug!(%error, "not let through");
        }
    }

    /// Lets begin what was asked for; `None` where it has to be started anew.
    pub(super) async fn open(&mut self) -> Result<Option<StartedCommand>, GuestError> {
        match self.gated.take() {
            Some(gated) => gated.start.open().await,
            None => Ok(None),
        }
    }

    /// What was not let through by now never is.
    pub(super) fn let_go(&mut self) {
        self.gated = None;
    }
}

impl Gated {
    fn new(command: &LiveCommand, lease: &Lease, input: Option<&Arc<[u8]>>) -> Option<Self> {
        let guest = lease.guest();
        if guest.is_closed() {
            return None;
        }
        let turn = lease.live().gate_turn()?;
        let order = StartSpec {
            input: input.cloned().unwrap_or_default(),
            ..command.start.clone()
        };
        Some(Self {
            start: guest.start_gated(order)?,
            _turn: turn,
        })
    }
}
