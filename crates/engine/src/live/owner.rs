//! The owner task of a sandbox: makes every change of its state, one at a time.
//!
//! Records are written before the world is changed where a crash between the two would otherwise
//! leave something alive that the record calls ended, or the other way round:
//!
//! ```text
//! boot      record creating -> boot -> publish running -> record running
//! suspend   record suspended -> freeze            resume    thaw -> record running
//! copy      freeze -> copy the disk -> thaw
//! network   record it -> link
//! stop      record stopped -> end processes       destroy   record destroyed -> destroy
//! farewell  record it -> commands inside -> suspend or stop
//! ```
//! Recovery repeats the second half of each line; what is recorded as running it thaws.

mod birth;
mod changes;
mod copies;
mod ending;
mod farewell;
mod gateway;
mod link;
mod metering;
mod network;
mod setup;
mod trust;

use std::sync::Arc;

use pinfold_model::sandbox::{EndReason, SandboxEvent, TtlCounts};
use pinfold_model::usage::UsageRecord;
use pinfold_model::{Code, Error, Image, Result, Sandbox, SandboxState, Time};
use pinfold_runtime::guest::Guest;
use pinfold_store::Transition;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::sandbox::{MAILBOX_MAX, Message};
use super::{Activity, Link, LiveSandbox};
use crate::engine::Shared;

/// How a sandbox comes to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// It was recorded a moment ago and has to be booted.
    Fresh,
    /// An earlier engine left it, in whatever condition.
    Recovered,
}

/// A sandbox that can be found and waited for but has no owner yet. Dropped without
/// [`Nascent::begin`], it vanishes.
pub(crate) struct Nascent {
    owner: Option<Owner>,
    shared: Arc<Shared>,
    live: Arc<LiveSandbox>,
}

/// Makes the handle of a sandbox that is about to be recorded, or was found.
pub(crate) fn adopt(shared: &Arc<Shared>, sandbox: Sandbox, image: Image) -> Nascent {
    let (sender, mailbox) = mpsc::channel(MAILBOX_MAX);
    let activity = Activity::new(Arc::clone(&shared.clock));
    let live = Arc::new(LiveSandbox::new(
        sandbox,
        image.config.clone(),
        activity,
        sender,
    ));
    shared.registry.add_sandbox(Arc::clone(&live));
    let owner = Owner {
        shared: Arc::clone(shared),
        live: Arc::clone(&live),
        image,
        mailbox,
        follow: None,
        warm: None,
        waiting: Vec::new(),
    };
    Nascent {
        owner: Some(owner),
        shared: Arc::clone(shared),
        live,
    }
}

impl Nascent {
    pub(crate) fn live(&self) -> &Arc<LiveSandbox> {
        &self.live
    }

    /// `warm` is its guest where that runs already.
    pub(crate) fn begin(mut self, birth: Birth, warm: Option<Guest>) {
        if let Some(mut owner) = self.owner.take() {
            owner.warm = warm;
            self.shared.tasks.spawn(owner.run(birth));
        }
    }
}

impl Drop for Nascent {
    fn drop(&mut self) {
        if self.owner.is_some() {
            self.shared.registry.remove_sandbox(self.live.id());
        }
    }
}

struct Owner {
    shared: Arc<Shared>,
    live: Arc<LiveSandbox>,
    image: Image,
    mailbox: mpsc::Receiver<Message>,
    /// The task that takes the present guest's events.
    follow: Option<JoinHandle<()>>,
    /// What the first boot finds done.
    warm: Option<Guest>,
    waiting: farewell::Waiting,
}

impl Owner {
    async fn run(mut self, birth: Birth) {
        self.born(birth).await;
        while self.state().is_live() {
            let ending = self.shared.ending.clone();
            let (guest, deadline) = (self.guest(), self.deadline());
            let clock = Arc::clone(&self.shared.clock);
            tokio::select! {
                biased;
                () = ending.cancelled() => {
                    self.meter().await;
                    return;
                }
                message = self.mailbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => unreachable!("the handle holds a sender"),
                },
                () = closed(guest) => self.restore_link().await,
                () = clock.sleep_until(deadline.unwrap_or(Time::MAX)), if deadline.is_some() => {
                    self.on_deadline().await;
                }
            }
        }
        self.leave().await;
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Change(change, reply) => self.take_change(change, reply).await,
            Message::Copy(copy, reply) => {
                let _ = reply.send(self.copy_disk(copy).await);
            }
            Message::Gauge(reply) => {
                let _ = reply.send(self.gauge().await);
            }
            Message::Meter => self.meter().await,
        }
    }

    fn state(&self) -> SandboxState {
        self.live.view.borrow().sandbox.state
    }

    fn guest(&self) -> Option<Guest> {
        self.live.view.borrow().guest().cloned()
    }

    /// When the next timer is due: the end of the lifetime, or of patience with an idle sandbox.
    fn deadline(&self) -> Option<Time> {
        let view = self.live.view();
        let spec = &view.sandbox.spec;
        let leaves = spec.more.farewell.under_way.is_some();
        let idle = match (view.sandbox.state, spec.idle_timeout) {
            (SandboxState::Running, Some(timeout)) if !leaves => {
                Some(self.live.activity.deadline(timeout))
            }
            _ => None,
        };
        [self.expiry(), idle].into_iter().flatten().min()
    }

    /// When its absolute lifetime ends, where that counts now.
    fn expiry(&self) -> Option<Time> {
        let sandbox = self.live.view().sandbox;
        let counts = match sandbox.spec.more.ttl_counts {
            TtlCounts::Always => true,
            TtlCounts::WhileRunning => matches!(
                sandbox.state,
                SandboxState::Creating | SandboxState::Running
            ),
        };
        sandbox.expires_at.filter(|_| counts)
    }

    /// Records a change of state, and publishes what the sandbox is then.
    async fn record(
        &self,
        event: SandboxEvent,
        reason: Option<EndReason>,
        failure: Option<String>,
    ) -> Result<()> {
        self.record_metered(event, reason, failure, None).await
    }

    /// The same with what was used before, and what the CPU counter shows.
    async fn record_metered(
        &self,
        event: SandboxEvent,
        reason: Option<EndReason>,
        failure: Option<String>,
        used: Option<&(UsageRecord, u64)>,
    ) -> Result<()> {
        let from: Vec<_> = SandboxState::ALL
            .into_iter()
            .filter(|state| state.after(event).is_some())
            .collect();
        let Some(to) = self.state().after(event) else {
            return Err(illegal(self.state(), event));
        };
        let change = Transition {
            to,
            reason,
            failure,
            spec: self.spec_after(event),
            at: self.shared.clock.now(),
        };
        let sandboxes = self.shared.store.sandboxes();
        let id = self.live.id();
        let changed = match used {
            None => sandboxes.transition(id, &from, &change).await?,
            Some((record, counter)) => {
                let used = (record, *counter);
                sandboxes
                    .transition_metered(id, &from, &change, used)
                    .await?
            }
        };
        match changed {
            Some(sandbox) => {
                self.publish_sandbox(sandbox);
                Ok(())
            }
            None => Err(Error::internal(
                "the record is in a state that rules this change out",
            )),
        }
    }

    fn publish_sandbox(&self, sandbox: Sandbox) {
        self.live
            .view
            .send_modify(|view| view.sandbox = Arc::new(sandbox));
    }

    fn publish_link(&self, link: Link) {
        self.live.view.send_modify(|view| view.link = link);
    }
}

async fn closed(guest: Option<Guest>) {
    match guest {
        Some(guest) => guest.closed().await,
        None => std::future::pending().await,
    }
}

/// Why a change is not possible in this state, in the caller's words.
fn illegal(state: SandboxState, event: SandboxEvent) -> Error {
    if let Err(error) = state.require_running() {
        return error;
    }
    let text = match event {
        SandboxEvent::Booted => "the sandbox is running already",
        _ => "the sandbox's state does not allow this",
    };
    Error::new(Code::SandboxNotRunning, text)
}
