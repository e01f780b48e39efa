//! Copies of the disk: as a snapshot, or as the disk of another sandbox.

use pinfold_model::sandbox::SandboxEvent;
use pinfold_model::{Result, SandboxState};
use pinfold_runtime::driver::Moment;

use super::{Owner, illegal};
use crate::errors::driver_error;
use crate::live::DiskCopy;

impl Owner {
    pub(super) async fn copy_disk(&self, copy: DiskCopy) -> Result<()> {
        let moment = match self.state() {
            SandboxState::Running => Moment::Frozen,
            SandboxState::Suspended | SandboxState::Stopped => Moment::Still,
            other => return Err(illegal(other, SandboxEvent::Freeze)),
        };
        let began = std::time::Instant::now();
        let (driver, id) = (&self.shared.driver, self.live.id());
        let limits = self.live.view.borrow().sandbox.spec.resources;
        let done = match copy {
            DiskCopy::Snapshot(image) => driver.snapshot(id, &image, moment, &limits).await,
            DiskCopy::Fork(fork) => driver.fork(id, &fork, moment, &limits).await,
        };
        done.map_err(driver_error)?;
        metrics::histogram!("pinfold_disk_copy_seconds").record(began.elapsed());
        Ok(())
    }
}
