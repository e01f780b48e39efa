//! The setup of a sandbox, as its owner sees to it: begun with each life, recorded when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinfold_model::sandbox::{EndReason, SandboxEvent};
use pinfold_model::setup::Reached;
use pinfold_model::{Code, CommandId, Error, Result, SandboxSpec, SandboxState, SecretEnv};
use pinfold_runtime::driver::BootError;

use super::Owner;
use crate::gateways::gateway_env;
use crate::live::{main_command, setup};
use crate::secrets::secret_env;

impl Owner {
    /// The values that commands of this life have in their environment.
    pub(super) async fn take_secrets(&self) -> Result<(), BootError> {
        let sandbox = self.live.view().sandbox;
        let mut values = match sandbox.spec.more.secrets.is_empty() {
            true => BTreeMap::new(),
            false => secret_env(&self.shared, &sandbox.project, &sandbox.spec.more.secrets)
                .await
                .map_err(|error| BootError::Step {
                    step: format!("take its secrets ({})", error.message()),
                    source: std::io::Error::other(error),
                })?,
        };
        values.extend(gateway_env(&self.shared, &sandbox));
        self.live.set_secret_env(SecretEnv::new(values));
        Ok(())
    }

    /// Begins what is left to do in this life, in a task of its own.
    pub(super) fn go_on_with_setup(&self) {
        let view = self.live.view();
        if view.sandbox.state.is_live() && view.sandbox.spec.more.setup.is_pending() {
            let work = setup::run(Arc::clone(&self.shared), Arc::clone(&self.live), view.life);
            self.shared.tasks.spawn(work);
        } else {
            self.go_on_with_main();
        }
    }

    /// In a task of its own, in a sandbox that is set up.
    fn go_on_with_main(&self) {
        let view = self.live.view();
        if view.sandbox.state.is_live() && view.sandbox.spec.more.main.is_some() {
            let (shared, live) = (Arc::clone(&self.shared), Arc::clone(&self.live));
            self.shared
                .tasks
                .spawn(main_command::run(shared, live, view.life));
        }
    }

    /// Draws the id of a command of the setup, once for each life.
    pub(super) async fn setup_reaches(
        &self,
        life: u32,
        place: usize,
        lost: Option<CommandId>,
    ) -> Result<()> {
        let view = self.live.view();
        let mut spec = view.sandbox.spec.clone();
        let reached = spec.more.setup.reached.as_ref();
        let drawn = reached.is_some_and(|reached| {
            reached.place == place && lost.as_ref() != Some(&reached.command)
        });
        if view.life != life || drawn {
            return Ok(());
        }
        spec.more.setup.reached = Some(Reached {
            place,
            command: CommandId::generate(),
        });
        self.record_spec(spec).await
    }

    /// Draws its id, once for each life.
    pub(super) async fn main_begins(&self, life: u32) -> Result<()> {
        let view = self.live.view();
        let mut spec = view.sandbox.spec.clone();
        match &mut spec.more.main {
            Some(main) if view.life == life && main.command.is_none() => {
                main.command = Some(CommandId::generate());
                self.record_spec(spec).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refused before a rest: a stop ends every command, and a suspended sandbox may never run again. One of
    /// an earlier life says nothing any more.
    pub(super) async fn main_ended(&mut self, life: u32) -> Result<()> {
        let view = self.live.view();
        let lives = matches!(
            view.sandbox.state,
            SandboxState::Running | SandboxState::Suspended
        );
        if view.life != life || !lives {
            return Ok(());
        }
        if view.sandbox.spec.more.farewell.under_way.is_some() {
            let text = "the sandbox is about to rest, and ends when it runs again";
            return Err(Error::new(Code::SandboxNotRunning, text));
        }
        self.destroy(EndReason::MainExited).await
    }

    /// Before a start: what is to be done in each life is not done in the next one.
    pub(super) async fn begin_setup_again(&self) -> Result<()> {
        let mut spec = self.live.view().sandbox.spec.clone();
        spec.more.setup.begin_again();
        if let Some(main) = &mut spec.more.main {
            main.command = None;
        }
        self.record_spec(spec).await
    }

    /// One of an earlier life says nothing any more.
    pub(super) async fn set_up(
        &mut self,
        life: u32,
        done: std::result::Result<(), (EndReason, String)>,
    ) -> Result<()> {
        let view = self.live.view();
        let lives = matches!(
            view.sandbox.state,
            SandboxState::Running | SandboxState::Suspended
        );
        if view.life != life || !lives {
            return Ok(());
        }
        match done {
            Ok(()) => {
                let mut spec = view.sandbox.spec.clone();
                spec.more.setup.finish();
                self.record_spec(spec).await?;
                self.go_on_with_main();
                Ok(())
            }
            // Its disk is worth more than a life that did not begin well.
            Err((_, why)) if view.sandbox.spec.more.setup.lives > 0 => {
                tracing::info!(sandbox = %self.live.id(), "its setup failed, so it stops again");
                self.stop(Some(why)).await
            }
            Err((reason, why)) => {
                tracing::info!(sandbox = %self.live.id(), "its setup failed");
                let gauge = self.shared.driver.gauge(self.live.id()).await;
                let reason = match gauge {
                    Ok(gauge) if gauge.oom_kills > 0 => EndReason::OutOfMemory,
                    _ => reason,
                };
                self.fail(reason, why).await;
                Ok(())
            }
        }
    }

    /// The spec of a sandbox that ends here, where that is another one.
    pub(super) fn spec_after(&self, event: SandboxEvent) -> Option<SandboxSpec> {
        match event {
            SandboxEvent::Fail | SandboxEvent::Destroy => self.live.view().sandbox.spec.ended(),
            SandboxEvent::Booted
            | SandboxEvent::Freeze
            | SandboxEvent::Thaw
            | SandboxEvent::Stop => None,
        }
    }

    pub(super) async fn record_spec(&self, spec: SandboxSpec) -> Result<()> {
        let mut sandbox = self.live.view().sandbox.as_ref().clone();
        if sandbox.spec == spec {
            return Ok(());
        }
        let sandboxes = self.shared.store.sandboxes();
        sandboxes
            .set_spec(self.live.id(), &spec)
            .await
            .map_err(Error::from)?;
        sandbox.spec = spec;
        self.publish_sandbox(sandbox);
        Ok(())
    }
}
