//! The link to the guest: following it, and restoring it when it breaks.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::sandbox::EndReason;
use pinfold_runtime::driver::DriverError;
use pinfold_runtime::guest::{Guest, GuestError};

use super::Owner;
use crate::live::Link;
use crate::live::follow::follow;

const ATTEMPTS: u32 = 4;
const RETRY: Duration = Duration::from_millis(250);

impl Owner {
    /// Takes the guest's events from now on.
    pub(super) fn follow_guest(&mut self, guest: &Guest) {
        let follow = follow(
            Arc::clone(&self.shared),
            Arc::clone(&self.live),
            guest.clone(),
        );
        self.follow = Some(self.shared.tasks.spawn(follow));
    }

    /// Everything the present link brought has been passed on. The link has to be closed.
    pub(super) async fn followed(&mut self) {
        if let Some(follow) = self.follow.take() {
            // An error means that it was ended, and then there is nothing to wait for.
            let _ = follow.await;
        }
    }

    pub(super) fn connected(&mut self, guest: Guest) {
        self.follow_guest(&guest);
        self.publish_link(Link::Up(guest));
    }

    /// The link broke, or was never there in this engine: the guest may live, or be gone.
    pub(super) async fn restore_link(&mut self) {
        self.publish_link(Link::Down);
        self.followed().await;
        match self.attach().await {
            Ok(Some(guest)) => self.connected(guest),
            Ok(None) | Err(_) => self.lost().await,
        }
    }

    /// `None` where no guest lives; an error where one may, and does not answer.
    pub(super) async fn attach(&self) -> Result<Option<Guest>, DriverError> {
        let mut attempt = 1;
        loop {
            match self.attach_once().await {
                Err(error) if attempt < ATTEMPTS => {
                    tracing::warn!(sandbox = %self.live.id(), %error, attempt, "cannot attach");
                    tokio::time::sleep(RETRY * attempt).await;
                    attempt += 1;
                }
                found => return found,
            }
        }
    }

    async fn attach_once(&self) -> Result<Option<Guest>, DriverError> {
        let patience = self.shared.config.attach_timeout;
        let attach = self.shared.driver.attach(self.live.id());
        match tokio::time::timeout(patience, attach).await {
            Ok(found) => found,
            Err(_) => Err(DriverError::Guest(GuestError::Timeout)),
        }
    }

    /// The guest is gone, and with it everything that ran.
    pub(super) async fn lost(&mut self) {
        let gauge = self.shared.driver.gauge(self.live.id()).await;
        let (reason, text) = if gauge.is_ok_and(|gauge| gauge.oom_kills > 0) {
            (EndReason::OutOfMemory, "it ran out of memory and was ended")
        } else {
            (
                EndReason::Lost,
                "its processes are gone; the machine or its guest ended",
            )
        };
        self.fail(reason, text.to_owned()).await;
    }
}
