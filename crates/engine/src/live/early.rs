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

use pinfold_runtime::guest::{GatedStart, StartSpec};

use super::{Lease, LiveCommand};

/// Dropped, it leaves nothing.
#[derive(Default)]
pub(crate) struct Early {
    /// What stdin begins with, where that is at hand.
    pub(super) input: Option<Arc<[u8]>>,
    pub(super) start: Option<GatedStart>,
}

impl Early {
    /// Prepares the start where the guest can be reached right now.
    pub(crate) fn new(command: &LiveCommand, lease: &Lease, input: Option<Arc<[u8]>>) -> Self {
        let order = || StartSpec {
            input: input.clone().unwrap_or_default(),
            ..command.start.clone()
        };
        let guest = Some(lease.guest()).filter(|guest| !guest.is_closed());
        Self {
            start: guest.and_then(|guest| guest.start_gated(order())),
            input,
        }
    }

    /// Asks the guest while `record` is under way, for no longer than that.
    pub(crate) async fn beside<T>(&mut self, record: impl Future<Output = T>) -> T {
        tokio::pin!(record);
        let Some(start) = &mut self.start else {
            return record.await;
        };
        tokio::select! {
            biased;
            recorded = &mut record => return recorded,
            () = start.answered() => {}
        }
        record.await
    }
}
