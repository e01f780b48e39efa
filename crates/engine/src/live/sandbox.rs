//! The handle of a live sandbox: what use cases and command tasks see of its owner.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use pinfold_egress::Egress;
use pinfold_model::sandbox::EndReason;
use pinfold_model::usage::{Gauge, UsageTotals};
use pinfold_model::{
    Code, CommandId, Error, GatewayKind, ImageConfig, ImageId, NetworkMode, NetworkPolicy,
    ProjectId, Result, Sandbox, SandboxId, SandboxState, SecretEnv, Time,
};
use pinfold_runtime::guest::GuestError;
use pinfold_store::Idempotency;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::DescribeSandbox;

use super::activity::Use;
use super::early::GATES_MAX;
use super::meter::Meter;
use super::{Activity, Lease, Link, View};

/// Messages that wait for the owner at most; beyond, callers wait.
pub(super) const MAILBOX_MAX: usize = 64;

/// Connections to its ports on their way at once: below what a guest takes.
const DIALS_MAX: usize = 32;

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Suspend,
    Resume,
    Stop,
    /// What keeps its disk and takes least: a stop, else a suspend. Answered when its farewell has begun,
    /// where it has one; the other two wait for the end of that.
    Rest,
    Start,
    /// The absolute lifetime ends this long from now; once for each idempotency key.
    Extend(Duration, Option<Idempotency>),
    Network(NetworkMode, NetworkPolicy),
    /// Its rules as they are then, and the gateways of that kind, unless it follows a policy with a name.
    AllowGateway(GatewayKind),
    /// The rules of the policy that it follows, as they are recorded now.
    FollowPolicy,
    /// What people say about it.
    Describe(DescribeSandbox),
    /// The setup of that life is over, or why it is not.
    SetUp(u32, std::result::Result<(), (EndReason, String)>),
    /// The setup of that life comes to the command at `place`; the id is recorded then. `lost` is one that never
    /// began, and does not count.
    SetupReaches {
        life: u32,
        place: usize,
        lost: Option<CommandId>,
    },
    /// The main command of that life is about to start, under the id that is recorded then.
    MainBegins(u32),
    /// The main command of that life has ended.
    MainEnded(u32),
    /// The farewell of that life is over.
    SaidFarewell(u32),
    Destroy(EndReason),
}

/// What a copy of the sandbox's disk is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskCopy {
    Snapshot(ImageId),
    /// The disk of this one, which has none yet.
    Fork(SandboxId),
}

pub(super) enum Message {
    Change(Change, oneshot::Sender<Result<Sandbox>>),
    Copy(DiskCopy, oneshot::Sender<Result<()>>),
    Gauge(oneshot::Sender<Result<Gauge>>),
    Meter,
}

pub(crate) struct LiveSandbox {
    id: SandboxId,
    project: ProjectId,
    image: ImageConfig,
    mailbox: mpsc::Sender<Message>,
    pub(super) view: watch::Sender<View>,
    pub(super) activity: Activity,
    pub(super) meter: Meter,
    /// Since it first had a network policy in this engine.
    pub(super) egress: OnceLock<Egress>,
    /// The tasks of its commands.
    pub(super) commands: TaskTracker,
    /// Values of the secrets that its commands have in their environment, as they were when this
    /// life began.
    secret_env: RwLock<SecretEnv>,
    /// Turns of those who dial its ports.
    dials: Semaphore,
    /// Turns of commands whose processes wait for their records.
    gates: Arc<Semaphore>,
    /// Held by whoever wakes it, for all who want it awake.
    waking: Arc<Mutex<Option<Unwoken>>>,
    running: Arc<AtomicU32>,
}

/// Why it could not be woken, and when.
#[derive(Debug)]
pub(crate) struct Unwoken {
    pub(crate) at: Instant,
    pub(crate) code: Code,
    pub(crate) text: String,
}

/// One running command of a sandbox; it counts until this is dropped.
pub(super) struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LiveSandbox {
    pub(super) fn new(
        sandbox: Sandbox,
        image: ImageConfig,
        activity: Activity,
        mailbox: mpsc::Sender<Message>,
    ) -> Self {
        let view = View {
            sandbox: Arc::new(sandbox),
            link: Link::Down,
            life: 0,
        };
        let sandbox = &view.sandbox;
        Self {
            id: sandbox.id.clone(),
            project: sandbox.project.clone(),
            image,
            mailbox,
            meter: Meter::new(sandbox),
            egress: OnceLock::new(),
            view: watch::Sender::new(view),
            activity,
            commands: TaskTracker::new(),
            secret_env: RwLock::default(),
            dials: Semaphore::new(DIALS_MAX),
            gates: Arc::new(Semaphore::new(GATES_MAX)),
            waking: Arc::default(),
            running: Arc::default(),
        }
    }

    pub(crate) fn id(&self) -> &SandboxId {
        &self.id
    }

    pub(crate) fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Counts as in use until the answer is dropped; `None` for one that is being ended as idle.
    pub(crate) fn use_it(&self) -> Option<Use> {
        self.activity.begin()
    }

    /// Runs the task of one of its commands.
    pub(crate) fn run(&self, tasks: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
        self.commands.spawn(tasks.track_future(task));
    }

    pub(super) fn run_one_more(&self) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }

    /// The turn of a command whose process is to wait for its record, if there is one now.
    pub(super) fn gate_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gates).try_acquire_owned().ok()
    }

    /// What its egress gate has seen, if it ever had one.
    pub(crate) fn egress(&self) -> Option<&Egress> {
        self.egress.get()
    }

    /// What its commands have in their environment beside what is recorded.
    pub(crate) fn secret_env(&self) -> SecretEnv {
        self.secret_env
            .read()
            .expect("no panic under this lock")
            .clone()
    }

    pub(crate) fn set_secret_env(&self, env: SecretEnv) {
        *self.secret_env.write().expect("no panic under this lock") = env;
    }

    /// What its image says about how it wants to be run.
    pub(crate) fn image(&self) -> &ImageConfig {
        &self.image
    }

    pub(crate) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// The sandbox as it is now, with its last use and its commands up to date.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let mut sandbox = self.view().sandbox.as_ref().clone();
        if sandbox.state == SandboxState::Running {
            sandbox.last_active_at = sandbox.last_active_at.max(self.activity.last());
            sandbox.running_commands = self.running.load(Ordering::Relaxed);
        }
        sandbox
    }

    /// Waits until `settled` holds.
    pub(crate) async fn until(&self, settled: impl Fn(&Sandbox) -> bool) -> Sandbox {
        let mut view = self.watch();
        match view.wait_for(|view| settled(&view.sandbox)).await {
            Ok(view) => view.sandbox.as_ref().clone(),
            Err(_) => unreachable!("the sender is ours"),
        }
    }

    /// The turn of waking it, and how that ended the last time.
    pub(crate) async fn turn_of_waking(&self) -> OwnedMutexGuard<Option<Unwoken>> {
        Arc::clone(&self.waking).lock_owned().await
    }

    /// Asks the owner for a change; `None` when it has ended and only the record is left.
    pub(crate) async fn change(&self, change: Change) -> Option<Result<Sandbox>> {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .send(Message::Change(change, reply))
            .await
            .ok()?;
        answer.await.ok()
    }

    /// Asks the owner for a copy of the disk as it is now.
    pub(crate) async fn copy_disk(&self, copy: DiskCopy) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        // A mailbox that is closed drops the reply.
        let _ = self.mailbox.send(Message::Copy(copy, reply)).await;
        answer.await.unwrap_or_else(|_| {
            let state = self.view().sandbox.state;
            state
                .require_running()
                .and_then(|()| Err(Error::new(Code::Unavailable, "the server is shutting down")))
        })
    }

    pub(crate) async fn gauge(&self) -> Result<Gauge> {
        let (reply, answer) = oneshot::channel();
        if self.mailbox.send(Message::Gauge(reply)).await.is_err() {
            return Ok(Gauge::default());
        }
        answer.await.unwrap_or_else(|_| Ok(Gauge::default()))
    }

    /// Adds what is not recorded yet.
    pub(crate) fn add_usage(&self, totals: &mut UsageTotals, from: Time, to: Time, now: Time) {
        self.meter.add_to(totals, from, to, now);
    }

    /// How long it has been running beside what is recorded.
    pub(crate) fn unrecorded_running(&self, now: Time) -> Duration {
        self.meter.running(now)
    }

    /// What these two tell and what is recorded fit together while this stays.
    pub(crate) fn usage_stamp(&self) -> Option<u64> {
        self.meter.stamp()
    }

    /// Asks the owner to meter; one that is too busy is asked again at the next turn.
    pub(crate) fn ask_to_meter(&self) {
        let _ = self.mailbox.try_send(Message::Meter);
    }

    /// The guest for new work, and the sandbox counts as in use until the lease is dropped. Waits,
    /// at most `patience`, where it boots or its link is being restored: somebody may have seen it
    /// running before a crash, and its record still says that it is being created.
    pub(crate) async fn lease(self: &Arc<Self>, patience: Duration) -> Result<Lease> {
        if let Some(lease) = self.try_lease()? {
            return Ok(lease);
        }
        let mut view = self.watch();
        let changed = view.wait_for(|view| view.guest().is_some() || !view.may_have_guest());
        let _ = tokio::time::timeout(patience, changed).await;
        if let Some(lease) = self.try_lease()? {
            return Ok(lease);
        }
        self.view().sandbox.state.require_running()?;
        Err(unreachable_now())
    }

    /// As [`Self::lease`], also while the sandbox is closed to all other work: for its farewell.
    pub(super) async fn last_lease(self: &Arc<Self>, patience: Duration) -> Result<Lease> {
        self.reached(patience).await?;
        let in_use = self.activity.begin_last();
        let view = self.view();
        let guest = view.guest().cloned().ok_or_else(unreachable_now)?;
        Ok(Lease::new(Arc::clone(self), guest, &view, in_use))
    }

    /// The life of its guest, for whoever does not use it; waits as [`Self::lease`].
    pub(crate) async fn reached(&self, patience: Duration) -> Result<u32> {
        let mut view = self.watch();
        let settled = view.wait_for(|view| view.guest().is_some() || !view.may_have_guest());
        let _ = tokio::time::timeout(patience, settled).await;
        let view = self.view();
        view.sandbox.state.require_running()?;
        match view.guest() {
            Some(_) => Ok(view.life),
            None => Err(unreachable_now()),
        }
    }

    /// Connects to a port inside: on 127.0.0.1, then on ::1.
    pub(crate) async fn dial(&self, port: u16, timeout: Duration) -> Result<TcpStream, GuestError> {
        let view = self.view();
        let guest = view.guest().ok_or(GuestError::Lost)?;
        // A guest takes only so many at once; the others wait here.
        let dialed = async {
            let _turn = self.dials.acquire().await;
            guest.dial(port, timeout).await
        };
        let patience = timeout.saturating_mul(2);
        let dialed = tokio::time::timeout(patience, dialed).await;
        dialed.unwrap_or(Err(GuestError::Timeout))
    }

    /// `None` where there is no guest yet.
    fn try_lease(self: &Arc<Self>) -> Result<Option<Lease>> {
        // Before the look at the view: then either the owner sees this use, or we see its change.
        let in_use = self.activity.begin();
        let view = self.view();
        if view.sandbox.state == SandboxState::Creating {
            return Ok(None);
        }
        view.sandbox.state.require_running()?;
        let in_use = in_use.ok_or_else(|| {
            Error::new(
                Code::SandboxNotRunning,
                "the sandbox is being suspended or ended; it was idle for too long, or somebody asked",
            )
        })?;
        Ok(view.guest().map(|guest| {
            let guest = guest.clone();
            Lease::new(Arc::clone(self), guest, &view, in_use)
        }))
    }
}

fn unreachable_now() -> Error {
    Error::new(
        Code::GuestUnavailable,
        "the sandbox cannot be reached at the moment; try again shortly",
    )
}
