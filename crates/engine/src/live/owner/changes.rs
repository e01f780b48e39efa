//! Changes that leave the sandbox there: suspend, resume, stop, start, a longer life.

use std::time::Duration;

use pinfold_model::farewell::Rest;
use pinfold_model::sandbox::{EndReason, IdleAction, SandboxEvent, TtlCounts};
use pinfold_model::{Code, Error, Result, Sandbox, SandboxState};
use pinfold_store::Idempotency;
use tokio::time::timeout;

use super::{Owner, illegal};
use crate::DescribeSandbox;
use crate::errors::{boot_failure, driver_error};
use crate::live::meter::Rate;
use crate::live::{Change, Link};

/// Added to the grace of a stop before its guest is ended from outside.
const STOP_SLACK: Duration = Duration::from_secs(2);

impl Owner {
    pub(super) async fn change(&mut self, change: Change) -> Result<Sandbox> {
        match change {
            Change::Suspend => self.suspend().await?,
            Change::Resume => self.resume().await?,
            Change::Stop => self.stop(None).await?,
            Change::Rest => self.rest(self.usual_rest()).await?,
            Change::SetupReaches { life, place, lost } => {
                self.setup_reaches(life, place, lost).await?;
            }
            Change::MainBegins(life) => self.main_begins(life).await?,
            Change::MainEnded(life) => self.main_ended(life).await?,
            Change::SaidFarewell(life) => self.said_farewell(life).await?,
            Change::Start => self.start().await?,
            Change::Extend(ttl, claim) => self.extend(ttl, claim.as_ref()).await?,
            Change::Network(mode, policy) => self.set_network(mode, policy, None).await?,
            Change::AllowGateway(kind) => self.allow_gateway(kind).await?,
            Change::FollowPolicy => self.follow_policy().await?,
            Change::Describe(request) => self.describe(request).await?,
            Change::SetUp(life, done) => self.set_up(life, done).await?,
            Change::Destroy(reason) => self.destroy(reason).await?,
        }
        Ok(self.live.sandbox())
    }

    /// A timer is due.
    pub(super) async fn on_deadline(&mut self) {
        let view = self.live.view();
        let now = self.shared.clock.now();
        let result = if self.expiry().is_some_and(|at| at <= now) {
            self.destroy(EndReason::TtlExpired).await
        } else {
            self.end_idleness(
                view.sandbox.spec.idle_timeout,
                view.sandbox.spec.idle_action,
            )
            .await
        };
        if let Err(error) = result {
            tracing::error!(sandbox = %self.live.id(), %error, "a timer could not do its work");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn end_idleness(&mut self, after: Option<Duration>, action: IdleAction) -> Result<()> {
        if !after.is_some_and(|after| self.live.activity.retire(after)) {
            return Ok(());
        }
        let result = match action {
            IdleAction::Destroy => self.destroy(EndReason::IdleExpired).await,
            IdleAction::Suspend => self.rest_from_idleness(Rest::Suspend).await,
            IdleAction::Stop => self.rest_from_idleness(Rest::Stop).await,
        };
        if result.is_err() {
            self.live.activity.revive();
        }
        result
    }

    async fn rest_from_idleness(&mut self, rest: Rest) -> Result<()> {
        match self.begin_farewell(rest).await? {
            true => Ok(()),
            false => self.rest(rest).await,
        }
    }

    pub(super) async fn suspend(&mut self) -> Result<()> {
        if self.state() == SandboxState::Suspended {
            return Ok(());
        }
        self.state().require_running()?;
        self.meter().await;
        self.record(SandboxEvent::Freeze, None, None).await?;
        if let Err(error) = self.shared.driver.freeze(self.live.id()).await {
            self.record(SandboxEvent::Thaw, None, None).await?;
            return Err(driver_error(error));
        }
        let now = self.shared.clock.now();
        self.live.meter.count_from(now, Some(Rate::Frozen));
        Ok(())
    }

    async fn resume(&mut self) -> Result<()> {
        match self.state() {
            SandboxState::Running => return Ok(()),
            SandboxState::Suspended => {}
            other => return Err(illegal(other, SandboxEvent::Thaw)),
        }
        self.meter().await;
        self.forget_farewell().await?;
        // Before it counts again: what was left of it may be over.
        self.begin_lifetime_again().await?;
        self.shared
            .driver
            .thaw(self.live.id())
            .await
            .map_err(driver_error)?;
        self.live.activity.revive();
        self.record(SandboxEvent::Thaw, None, None).await?;
        let now = self.shared.clock.now();
        self.live.meter.count_from(now, Some(Rate::Running));
        if self.guest().is_none() {
            self.restore_link().await;
            self.state().require_running()?;
        }
        Ok(())
    }

    /// `why` is told where nobody asked for it.
    pub(super) async fn stop(&mut self, why: Option<String>) -> Result<()> {
        match self.state() {
            SandboxState::Stopped => return Ok(()),
            SandboxState::Running | SandboxState::Suspended => {}
            other => return Err(illegal(other, SandboxEvent::Stop)),
        }
        self.shared.driver.check_stop().map_err(driver_error)?;
        self.meter().await;
        let frozen = self.state() == SandboxState::Suspended;
        self.record(SandboxEvent::Stop, None, why).await?;
        if frozen {
            // Frozen processes cannot react to TERM.
            self.shared
                .driver
                .thaw(self.live.id())
                .await
                .map_err(driver_error)?;
        }
        let guest = self.guest();
        self.end_guest().await;
        let stopped = self.shared.driver.stop(self.live.id()).await;
        if stopped.is_err() && guest.is_some_and(|guest| !guest.is_closed()) {
            // It still runs and reports; the next start of the engine ends it.
            return stopped.map_err(driver_error);
        }
        self.followed().await;
        self.publish_link(Link::Gone);
        self.close_gate().await;
        self.live.meter.count_from(self.shared.clock.now(), None);
        self.commands_ended().await;
        stopped.map_err(driver_error)
    }

    /// TERM to everything, with time to react; what ends within it is reported.
    async fn end_guest(&mut self) {
        let Some(guest) = self.guest() else {
            return;
        };
        self.publish_link(Link::Closing);
        let grace = self.shared.config.stop_grace;
        if guest.shutdown(grace).await.is_ok() {
            // Past the grace the driver ends it.
            let _ = timeout(grace + STOP_SLACK, guest.closed()).await;
        }
    }

    async fn start(&mut self) -> Result<()> {
        match self.state() {
            SandboxState::Running => return Ok(()),
            SandboxState::Stopped => {}
            other => return Err(illegal(other, SandboxEvent::Booted)),
        }
        self.forget_farewell().await?;
        self.begin_setup_again().await?;
        self.begin_lifetime_again().await?;
        match self.boot().await {
            Ok(guest) => {
                self.running(guest).await;
                Ok(())
            }
            Err(error) => {
                let text = boot_failure(&error);
                let error = Error::new(Code::Unavailable, format!("it did not boot: {text}"))
                    .because(error);
                Err(error)
            }
        }
    }

    /// For a lifetime that counts while it runs.
    async fn begin_lifetime_again(&mut self) -> Result<()> {
        let sandbox = self.live.view().sandbox;
        match sandbox.ttl {
            Some(ttl) if sandbox.spec.more.ttl_counts == TtlCounts::WhileRunning => {
                self.extend(ttl, None).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn describe(&mut self, request: DescribeSandbox) -> Result<()> {
        let mut sandbox: Sandbox = self.live.view().sandbox.as_ref().clone();
        if let Some(name) = request.name {
            sandbox.spec.name = name;
        }
        if let Some(metadata) = request.metadata {
            sandbox.spec.metadata = metadata;
        }
        sandbox.spec.validate()?;
        let sandboxes = self.shared.store.sandboxes();
        sandboxes.describe(self.live.id(), &sandbox.spec).await?;
        self.publish_sandbox(sandbox);
        Ok(())
    }

    async fn extend(&mut self, ttl: Duration, claim: Option<&Idempotency>) -> Result<()> {
        let now = self.shared.clock.now();
        let sandboxes = self.shared.store.sandboxes();
        let set = sandboxes.set_ttl(self.live.id(), ttl, now, claim).await?;
        let sandbox = set.into_inner();
        self.live.view.send_modify(|view| {
            let mut known: Sandbox = view.sandbox.as_ref().clone();
            known.ttl = sandbox.ttl;
            known.expires_at = sandbox.expires_at;
            view.sandbox = known.into();
        });
        Ok(())
    }
}
