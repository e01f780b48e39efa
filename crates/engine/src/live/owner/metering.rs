//! Usage records: appended at changes of state and at the reconciler's ticks.

use pinfold_model::usage::{Gauge, UsageRecord};
use pinfold_model::{Result, SandboxState, Time};
use pinfold_store::Metered;

use super::Owner;
use crate::errors::driver_error;

impl Owner {
    pub(super) async fn gauge(&self) -> Result<Gauge> {
        self.shared
            .driver
            .gauge(self.live.id())
            .await
            .map_err(driver_error)
    }

    /// Records what was used up to now. What cannot be written is counted by the next record.
    pub(super) async fn meter(&self) {
        if self.state() == SandboxState::Running {
            self.note_last_use().await;
        }
        self.write_record().await;
    }

    /// The same before an end: nothing counts after it.
    pub(super) async fn meter_for_the_last_time(&self) {
        self.write_record().await;
        self.live.meter.count_from(self.shared.clock.now(), None);
    }

    /// What was used up to now and is not recorded, and what the CPU counter shows.
    pub(super) fn reading(&self) -> Option<(UsageRecord, u64)> {
        let counter = self.shared.driver.cpu_used_us(self.live.id());
        self.live.meter.reading(self.shared.clock.now(), counter)
    }

    /// From when on usage of an earlier engine is not recorded yet. Also makes the meter go on from
    /// the CPU counter of its last record.
    pub(super) async fn metered_until(&self) -> Time {
        let view = self.live.view();
        let since = view
            .sandbox
            .running_since
            .unwrap_or(view.sandbox.created_at);
        match self.shared.store.usage().mark(self.live.id()).await {
            Ok(Some(mark)) => {
                self.live.meter.set_cpu_counter(mark.cpu_counter_us);
                since.max(mark.metered_to)
            }
            Ok(None) => since,
            Err(error) => {
                tracing::error!(sandbox = %self.live.id(), %error, "usage mark not readable");
                self.shared.clock.now()
            }
        }
    }

    async fn note_last_use(&self) {
        let last = self.live.activity.last();
        if let Err(error) = self
            .shared
            .store
            .sandboxes()
            .touch(self.live.id(), last)
            .await
        {
            tracing::warn!(sandbox = %self.live.id(), %error, "last use not recorded");
        }
    }

    async fn write_record(&self) {
        let Some((record, counter)) = self.reading() else {
            return;
        };
        self.live.meter.writing();
        let usage = self.shared.store.usage();
        match usage.append_and_advance(&record, counter).await {
            Ok(Metered::Appended | Metered::AlreadyCounted) => {
                self.live.meter.recorded(&record, counter);
            }
            Err(error) => {
                tracing::error!(sandbox = %self.live.id(), %error, "usage not recorded yet");
            }
        }
        self.live.meter.written();
    }
}
