//! The farewell of a sandbox, as its owner sees to it: recorded before it begins, and behind it the rest
//! that was asked for. Until then the sandbox runs, and nothing new begins in it.

use std::sync::Arc;

use pinfold_model::farewell::Rest;
use pinfold_model::{Code, Error, Result, Sandbox, SandboxState};
use tokio::sync::oneshot;

use super::Owner;
use crate::errors::driver_error;
use crate::live::sandbox::MAILBOX_MAX;
use crate::live::{Change, farewell};

type Reply = oneshot::Sender<Result<Sandbox>>;

/// Who asked that the sandbox rests, and waits for its farewell to be over.
pub(super) type Waiting = Vec<(Change, Reply)>;

impl Owner {
    /// Answers at once, or behind the farewell for which this change has to wait.
    pub(super) async fn take_change(&mut self, change: Change, reply: Reply) {
        let rest = match &change {
            Change::Stop => Some(Rest::Stop),
            Change::Suspend => Some(Rest::Suspend),
            Change::Rest => Some(self.usual_rest()),
            _ => None,
        };
        let begun = match rest {
            Some(rest) => self.begin_farewell(rest).await,
            None => Ok(false),
        };
        let answer = match begun {
            Ok(false) => self.change(change).await,
            Ok(true) if change == Change::Rest => Ok(self.live.sandbox()),
            Ok(true) if self.waiting.len() < MAILBOX_MAX => {
                self.waiting.push((change, reply));
                return;
            }
            Ok(true) => Err(Error::new(
                Code::Unavailable,
                "the sandbox is being suspended, and too many wait for that",
            )),
            Err(error) => Err(error),
        };
        // The one who asked may have gone.
        let _ = reply.send(answer);
    }

    /// Whether a farewell goes before it; begins it, unless one is under way.
    pub(super) async fn begin_farewell(&mut self, rest: Rest) -> Result<bool> {
        let sandbox = self.live.view().sandbox;
        let more = &sandbox.spec.more;
        if sandbox.state != SandboxState::Running
            || more.setup.is_pending()
            || more.farewell.commands.is_empty()
        {
            return Ok(false);
        }
        if more.farewell.under_way.is_some() {
            return Ok(true);
        }
        if rest == Rest::Stop {
            self.shared.driver.check_stop().map_err(driver_error)?;
        }
        let mut spec = sandbox.spec.clone();
        spec.more.farewell.begin(rest, self.shared.clock.now());
        self.record_spec(spec).await?;
        self.go_on_with_farewell();
        Ok(true)
    }

    /// In a task of its own, where one is under way.
    pub(super) fn go_on_with_farewell(&self) {
        let view = self.live.view();
        if view.sandbox.state == SandboxState::Running
            && view.sandbox.spec.more.farewell.under_way.is_some()
        {
            self.live.activity.close();
            let work = farewell::run(Arc::clone(&self.shared), Arc::clone(&self.live), view.life);
            self.shared.tasks.spawn(work);
        }
    }

    /// Behind it. One of an earlier life says nothing any more.
    pub(super) async fn said_farewell(&mut self, life: u32) -> Result<()> {
        let view = self.live.view();
        let under_way = view.sandbox.spec.more.farewell.under_way.as_ref();
        let Some(under_way) = under_way.filter(|_| view.life == life) else {
            return Ok(());
        };
        if self.state() != SandboxState::Running {
            return Ok(());
        }
        let done = self.rest(under_way.rest).await;
        if done.is_err() && self.state() == SandboxState::Running {
            self.forget_farewell().await?;
            self.live.activity.revive();
        }
        for (change, reply) in std::mem::take(&mut self.waiting) {
            let rested = match change {
                Change::Stop => self.rest(Rest::Stop).await,
                Change::Suspend => self.rest(Rest::Suspend).await,
                _ => Ok(()),
            };
            let _ = reply.send(rested.map(|()| self.live.sandbox()));
        }
        done
    }

    /// Before it runs again.
    pub(super) async fn forget_farewell(&mut self) -> Result<()> {
        let mut spec = self.live.view().sandbox.spec.clone();
        spec.more.farewell.under_way = None;
        self.record_spec(spec).await
    }

    /// Stopped; or suspended, where this machine keeps no disks of what does not run.
    pub(super) fn usual_rest(&self) -> Rest {
        match self.shared.driver.check_stop() {
            Ok(()) => Rest::Stop,
            Err(_) => Rest::Suspend,
        }
    }

    pub(super) async fn rest(&mut self, rest: Rest) -> Result<()> {
        match rest {
            Rest::Stop => self.stop(None).await,
            // A stop asks for less.
            Rest::Suspend if self.state() == SandboxState::Stopped => Ok(()),
            Rest::Suspend => self.suspend().await,
        }
    }
}
