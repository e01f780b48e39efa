//! Changes that end the sandbox, and what its owner does last.

use std::time::Duration;

use pinfold_model::sandbox::{EndReason, SandboxEvent};
use pinfold_model::{Result, Sandbox, SandboxState};
use pinfold_store::Unfinished;

use super::Owner;
use crate::errors::driver_error;
use crate::live::Link;

/// How long the tasks of commands may take to record that they are lost.
const COMMANDS_PATIENCE: Duration = Duration::from_secs(30);

impl Owner {
    /// Answers when no process runs any more. A driver that fails is tried again by the reconciler,
    /// since the record says that nothing may be left.
    pub(super) async fn destroy(&mut self, reason: EndReason) -> Result<()> {
        self.publish_link(Link::Closing);
        self.record_end(reason).await?;
        self.shared.previews.forget_sandbox(self.live.id());
        metrics::counter!("pinfold_sandboxes_destroyed_total", "reason" => reason.as_str())
            .increment(1);
        let destroyed = self.shared.driver.destroy(self.live.id()).await;
        self.publish_link(Link::Gone);
        destroyed.map_err(driver_error)
    }

    /// Records it together with what was used until now: nothing counts after it.
    async fn record_end(&self, reason: EndReason) -> Result<()> {
        let meter = &self.live.meter;
        let mut used = self.reading();
        meter.writing();
        let event = SandboxEvent::Destroy;
        let mut recorded = self
            .record_metered(event, Some(reason), None, used.as_ref())
            .await;
        if let (Err(error), true) = (&recorded, used.is_some()) {
            tracing::error!(sandbox = %self.live.id(), %error, "end not recorded with its usage");
            // What cannot be counted must not keep a sandbox alive.
            used = None;
            recorded = self.record(event, Some(reason), None).await;
        }
        if let (Ok(()), Some((record, counter))) = (&recorded, &used) {
            meter.recorded(record, *counter);
        }
        meter.written();
        recorded?;
        meter.count_from(self.shared.clock.now(), None);
        Ok(())
    }

    /// Ends a sandbox that cannot go on; nothing of it is left on the machine.
    pub(super) async fn fail(&mut self, reason: EndReason, failure: String) {
        self.meter_for_the_last_time().await;
        self.followed_if_closed().await;
        if let Err(error) = self
            .record(SandboxEvent::Fail, Some(reason), Some(failure.clone()))
            .await
        {
            tracing::error!(sandbox = %self.live.id(), %error, "failure not recorded");
            self.publish_failed(reason, failure);
        }
        metrics::counter!("pinfold_sandboxes_failed_total", "reason" => reason.as_str())
            .increment(1);
        if let Err(error) = self.shared.driver.destroy(self.live.id()).await {
            tracing::error!(sandbox = %self.live.id(), %error, "remains of a failed sandbox");
        }
        self.publish_link(Link::Gone);
    }

    /// Every process of this life is gone: waits for the tasks of its commands, then ends the
    /// records of those that had no task yet.
    pub(super) async fn commands_ended(&self) {
        let commands = &self.live.commands;
        commands.close();
        if tokio::time::timeout(COMMANDS_PATIENCE, commands.wait())
            .await
            .is_err()
        {
            tracing::error!(sandbox = %self.live.id(), "commands did not end with their sandbox");
        }
        commands.reopen();
        // A task that the engine's own end cut short has said how its command ended, and has not
        // waited for that to be recorded.
        self.shared.endings.flush().await;
        let now = self.shared.clock.now();
        let how = match self.state() {
            SandboxState::Destroyed => Unfinished::Killed,
            _ => Unfinished::Lost,
        };
        let commands = self.shared.store.commands();
        if let Err(error) = commands.end_unfinished(self.live.id(), how, now).await {
            tracing::error!(sandbox = %self.live.id(), %error, "ends of commands not recorded");
        }
    }

    /// After the last change.
    pub(super) async fn leave(&mut self) {
        self.mailbox.close();
        self.close_gate().await;
        self.shared.previews.forget_sandbox(self.live.id());
        self.commands_ended().await;
        self.shared.registry.remove_sandbox(self.live.id());
    }

    async fn followed_if_closed(&mut self) {
        if self.guest().is_none_or(|guest| guest.is_closed()) {
            self.followed().await;
        }
    }

    /// The record lags behind; recovery will come to the same end.
    fn publish_failed(&self, reason: EndReason, failure: String) {
        let now = self.shared.clock.now();
        self.live.view.send_modify(|view| {
            let mut sandbox: Sandbox = view.sandbox.as_ref().clone();
            sandbox.state = SandboxState::Failed;
            sandbox.reason = Some(reason);
            sandbox.failure = Some(failure);
            sandbox.ended_at = Some(now);
            view.sandbox = sandbox.into();
        });
    }
}
