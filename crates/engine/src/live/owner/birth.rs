//! How an owner begins: booting a new sandbox, or finding out what became of an old one.

use pinfold_model::sandbox::{EndReason, SandboxEvent};
use pinfold_model::{Code, Error, NetworkMode, Sandbox, SandboxState};
use pinfold_runtime::driver::BootError;
use pinfold_runtime::guest::Guest;
use pinfold_store::PageRequest;

use super::{Birth, Owner};
use crate::errors::{boot_failure, chain};
use crate::live::meter::Rate;
use crate::live::rootfs::boot_spec;
use crate::live::{DiskCopy, Link};

impl Owner {
    pub(super) async fn born(&mut self, birth: Birth) {
        // It may have changed since this was asked for, or while no engine was there.
        if let Err(error) = self.follow_policy().await {
            tracing::error!(sandbox = %self.live.id(), %error, "it obeys what its policy was");
        }
        match birth {
            Birth::Fresh => self.first_boot().await,
            Birth::Recovered => self.find().await,
        }
    }

    async fn first_boot(&mut self) {
        let began = std::time::Instant::now();
        let was_warm = self.warm.is_some();
        let booted = match self.copy_of_another().await {
            Ok(()) => self.boot().await,
            Err(error) => Err(error),
        };
        match booted {
            Ok(guest) => {
                metrics::histogram!("pinfold_boot_seconds").record(began.elapsed());
                self.running(guest).await;
            }
            Err(error) => {
                // Unlike a boot that fails, what was booted before is still there.
                if was_warm && let Err(error) = self.shared.driver.destroy(self.live.id()).await {
                    tracing::warn!(sandbox = %self.live.id(), %error, "remains of a boot");
                }
                self.boot_failed(&error).await;
            }
        }
    }

    /// The disk of a fork, before its first boot. One that a crash cut short is made again.
    async fn copy_of_another(&self) -> Result<(), BootError> {
        let Some(other) = self.live.view().sandbox.spec.forked_from.clone() else {
            return Ok(());
        };
        let copied = match self.shared.registry.sandbox(&other) {
            Some(live) => {
                let fork = DiskCopy::Fork(self.live.id().clone());
                live.copy_disk(fork).await
            }
            None => Err(Error::new(
                Code::SandboxGone,
                "the sandbox to fork has ended",
            )),
        };
        copied.map_err(|error| BootError::Disk(error.message().to_owned()))
    }

    pub(super) async fn boot(&mut self) -> Result<Guest, BootError> {
        self.take_secrets().await?;
        let warm = self.warm.take();
        let view = self.live.view();
        let sandbox = &view.sandbox;
        let spec = boot_spec(&self.shared, sandbox, &self.image)?;
        let guest = match warm {
            Some(guest) => guest,
            None => self.shared.driver.boot(&spec).await?,
        };
        self.trust(&guest).await;
        if spec.network == NetworkMode::Policy
            && let Err(error) = self.link(spec.network).await
        {
            // It runs, and nothing could come out of it. One that was stopped keeps its disk.
            let driver = &self.shared.driver;
            let undone = match self.state() {
                SandboxState::Creating => driver.destroy(&spec.id).await,
                _ => driver.stop(&spec.id).await,
            };
            if let Err(error) = undone {
                tracing::warn!(sandbox = %spec.id, %error, "remains of a boot");
            }
            return Err(match error.code() {
                Code::Unsupported => BootError::Unsupported(error.message().to_owned()),
                _ => BootError::Step {
                    step: "link the network".to_owned(),
                    source: std::io::Error::other(error),
                },
            });
        }
        Ok(guest)
    }

    /// Whom a sandbox with credentials has to trust.
    async fn trust(&self, guest: &Guest) {
        let view = self.live.view();
        if !view.sandbox.spec.credentials.is_empty()
            && let Err(error) = self.install_trust(guest).await
        {
            // Its connections to those hosts will say that they do not trust them.
            tracing::warn!(sandbox = %self.live.id(), %error, "no file of certificates");
        }
    }

    /// A new life: its CPU is counted from nothing, and no command of the one before is in it.
    pub(super) async fn running(&mut self, guest: Guest) {
        self.live.meter.set_cpu_counter(0);
        self.live.view.send_modify(|view| view.life += 1);
        self.runs(guest).await;
    }

    /// Publishes that it runs, and records it behind the answers that waited for it. If this engine
    /// dies before the record is written, recovery finds the guest and writes it.
    async fn runs(&mut self, guest: Guest) {
        let at = self.shared.clock.now();
        self.live.activity.revive();
        self.live.meter.count_from(at, Some(Rate::Running));
        self.follow_guest(&guest);
        self.live.view.send_modify(|view| {
            let mut sandbox: Sandbox = view.sandbox.as_ref().clone();
            sandbox.state = SandboxState::Running;
            sandbox.running_since = Some(at);
            sandbox.last_active_at = at;
            sandbox.ended_at = None;
            view.sandbox = sandbox.into();
            view.link = Link::Up(guest);
        });
        if let Err(error) = self.record(SandboxEvent::Booted, None, None).await {
            tracing::error!(sandbox = %self.live.id(), %error, "running not recorded");
        }
        self.go_on_with_setup();
        self.go_on_with_farewell();
    }

    async fn boot_failed(&mut self, error: &BootError) {
        let chain = chain(error);
        tracing::warn!(sandbox = %self.live.id(), error = chain, "boot failed");
        metrics::counter!("pinfold_boot_failures_total").increment(1);
        self.fail(EndReason::BootFailed, boot_failure(error)).await;
    }

    /// What an earlier engine left, by what it recorded.
    async fn find(&mut self) {
        let since = self.metered_until().await;
        match self.state() {
            SandboxState::Creating => self.find_created().await,
            SandboxState::Running => {
                self.live.meter.count_from(since, Some(Rate::Running));
                // An engine that died amid a copy of its disk left it frozen.
                if let Err(error) = self.shared.driver.thaw(self.live.id()).await {
                    tracing::debug!(sandbox = %self.live.id(), %error, "not thawed");
                }
                self.link_again().await;
                self.restore_link().await;
                self.go_on_with_setup();
                self.go_on_with_farewell();
            }
            SandboxState::Suspended => {
                self.live.meter.count_from(since, Some(Rate::Frozen));
                // It may have been frozen or not when the record was written; a frozen guest
                // cannot be greeted, so that waits for the thaw.
                if let Err(error) = self.shared.driver.freeze(self.live.id()).await {
                    tracing::warn!(sandbox = %self.live.id(), %error, "cannot be frozen again");
                    self.lost().await;
                } else {
                    self.link_again().await;
                    self.go_on_with_setup();
                }
            }
            SandboxState::Stopped => {
                if let Err(error) = self.shared.driver.stop(self.live.id()).await {
                    tracing::warn!(sandbox = %self.live.id(), %error, "cannot be stopped again");
                }
                self.publish_link(Link::Gone);
            }
            SandboxState::Failed | SandboxState::Destroyed => {}
        }
    }

    /// Recorded as being created: it booted and that was not recorded, or it never did.
    async fn find_created(&mut self) {
        match self.attach().await {
            Ok(Some(guest)) => {
                self.trust(&guest).await;
                self.link_again().await;
                self.runs(guest).await;
            }
            Ok(None) if self.never_ran().await => {
                // Whatever a boot left that did not come to its end.
                if let Err(error) = self.shared.driver.destroy(self.live.id()).await {
                    tracing::warn!(sandbox = %self.live.id(), %error, "remains of a boot");
                }
                self.first_boot().await;
            }
            Ok(None) | Err(_) => self.lost().await,
        }
    }

    /// No command was ever accepted in it, so booting it again repeats nothing.
    async fn never_ran(&self) -> bool {
        let any = PageRequest::new(1, None);
        let commands = self
            .shared
            .store
            .commands()
            .list(self.live.id(), &any)
            .await;
        commands.is_ok_and(|page| page.items.is_empty())
    }
}
