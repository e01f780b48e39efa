//! Being in a preview: its sandbox runs and counts as in use, and its port can be dialed.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::tunnel::{Traffic, Wake};
use pinfold_model::{Code, Ctx, Error, Result, Sandbox, SandboxId, SandboxState};
use pinfold_runtime::guest::{FailureKind, GuestError};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::OpenPreview;
use super::open::Reach;
use crate::Engine;
use crate::live::{Change, LiveSandbox, Unwoken, Use};
use crate::usecase::Note;

/// How long a server inside may take to listen after a request has woken its sandbox.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long a sandbox that could not be woken is left alone.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// While one is held the sandbox is in use.
#[derive(Debug)]
pub struct Visit {
    live: Arc<LiveSandbox>,
    life: u32,
    port: u16,
    /// Until then nobody has to listen yet.
    listens_by: Option<Instant>,
    /// `None`: its traffic does not count.
    _in_use: Option<Use>,
    _place: OwnedSemaphorePermit,
}

impl Engine {
    /// Begins to use the sandbox behind a preview; `port` names the one that is wanted of a tunnel,
    /// and nothing of a preview.
    ///
    /// # Errors
    /// `preview_unavailable` where the sandbox does not run; `unavailable` where the preview has as
    /// many visits as it may have; `preview_not_found` for a port of what has none to choose.
    pub async fn enter_preview(&self, open: &OpenPreview, port: Option<u16>) -> Result<Visit> {
        self.measured("preview.enter", async {
            let facts = &open.facts;
            let (port, traffic, wake) = match (facts.reach, port) {
                (Reach::Port(port), None) => (port, Traffic::KeepsInUse, Wake::Never),
                (Reach::Every(traffic, wake), Some(port)) => (port, traffic, wake),
                (Reach::Port(_), Some(_)) | (Reach::Every(..), None) => {
                    return Err(Error::new(Code::PreviewNotFound, "no such port of it"));
                }
            };
            let visits = Arc::clone(&open.visits);
            let place = visits.try_acquire_owned().map_err(|_| crowded())?;
            let live = self.inner.registry.sandbox(&facts.sandbox);
            let live = live.ok_or_else(|| unavailable("the sandbox has ended"))?;
            let patience = self.config().attach_timeout;
            let mut entered = self.entered(&live, traffic, wake).await;
            if wake == Wake::OnRequest && is_going_to_sleep(&entered) {
                let asleep = live.until(|sandbox| sandbox.state != SandboxState::Running);
                let farewell = live.view().sandbox.spec.more.farewell.patience;
                let _ = tokio::time::timeout(patience + farewell, asleep).await;
                entered = self.entered(&live, traffic, wake).await;
            }
            let Entered {
                life,
                in_use,
                listens_by,
            } = entered.map_err(not_running)?;
            Ok(Visit {
                life,
                port,
                listens_by,
                _in_use: in_use,
                _place: place,
                live,
            })
        })
        .await
    }
}

impl Visit {
    /// What connections may be shared within: no other sandbox has this, nor the same sandbox after
    /// it was stopped.
    #[must_use]
    pub fn place(&self) -> (SandboxId, u32, u16) {
        (self.live.id().clone(), self.life, self.port)
    }

    /// Connects to the port inside: on 127.0.0.1, then on ::1.
    ///
    /// # Errors
    /// `preview_unavailable` where nothing listens there, or nothing accepts within `timeout`.
    pub async fn dial(&self, timeout: Duration) -> Result<TcpStream> {
        loop {
            let dialed = self.live.dial(self.port, timeout).await;
            match (dialed, self.listens_by) {
                (Err(error), Some(by)) if is_refusal(&error) && Instant::now() < by => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                (dialed, _) => return dialed.map_err(|error| not_dialed(self.port, error)),
            }
        }
    }
}

/// A sandbox that was found running, or made so.
struct Entered {
    life: u32,
    in_use: Option<Use>,
    listens_by: Option<Instant>,
}

impl Engine {
    async fn entered(
        &self,
        live: &Arc<LiveSandbox>,
        traffic: Traffic,
        wake: Wake,
    ) -> Result<Entered> {
        let listens_by = match wake {
            Wake::Never => None,
            Wake::OnRequest => self.wake(live).await?,
        };
        let patience = self.config().attach_timeout;
        let (life, in_use) = match traffic {
            Traffic::KeepsInUse => {
                let lease = live.lease(patience).await?;
                (lease.life(), Some(lease.into_use()))
            }
            Traffic::Ignored => (live.reached(patience).await?, None),
        };
        Ok(Entered {
            life,
            in_use,
            listens_by,
        })
    }

    /// Has a sandbox run that was suspended or stopped, and be set up. Answers until when a server
    /// inside may still be starting, where it was not running and set up before.
    async fn wake(&self, live: &Arc<LiveSandbox>) -> Result<Option<Instant>> {
        let asleep = waking(live.view().sandbox.state).is_some();
        if asleep {
            self.woken(live).await?;
        }
        let sandbox = live.view().sandbox;
        if sandbox.state != SandboxState::Running || (!asleep && is_set_up(&sandbox)) {
            return Ok(None);
        }
        let by = Instant::now() + LISTENS_WITHIN;
        let set_up =
            live.until(|sandbox| sandbox.state != SandboxState::Running || is_set_up(sandbox));
        // Late: then the dial says what is wrong.
        let _ = tokio::time::timeout_at(by, set_up).await;
        Ok(Some(by))
    }

    /// Of requests that come together one asks for the change, and the others for what became of it.
    async fn woken(&self, live: &Arc<LiveSandbox>) -> Result<()> {
        let mut last = live.turn_of_waking().await;
        let Some(change) = waking(live.view().sandbox.state) else {
            return Ok(());
        };
        if let Some(failed) = last.as_ref()
            && failed.at.elapsed() < FAILED_FOR
        {
            return Err(Error::new(failed.code, failed.text.clone()));
        }
        let (engine, live) = (self.clone(), Arc::clone(live));
        // To its end even if the caller goes away: the others wait for the same.
        self.detached(async move {
            let woken = engine.change_to_wake(&live, change).await;
            // One that changed meanwhile is looked at again.
            let failed = woken.as_ref().err();
            let failed = failed.filter(|error| error.code() != Code::SandboxNotRunning);
            *last = failed.map(|error| Unwoken {
                at: Instant::now(),
                code: error.code(),
                text: error.message().to_owned(),
            });
            woken
        })
        .await
    }

    async fn change_to_wake(&self, live: &LiveSandbox, change: Change) -> Result<()> {
        let mut principal = self.system_principal();
        principal.project = live.project().clone();
        let ctx = Ctx::new(principal);
        let note = Note::new("sandbox.wake");
        note.about(live.id().as_str());
        note.of(live.project());
        self.audited_if_done(&ctx, &note, async {
            match live.change(change).await {
                Some(done) => done.map(drop),
                None => Err(unavailable("the sandbox has ended")),
            }
        })
        .await
    }
}

/// What has a sandbox run that sleeps; `None` for one that does not.
fn waking(state: SandboxState) -> Option<Change> {
    match state {
        SandboxState::Suspended => Some(Change::Resume),
        SandboxState::Stopped => Some(Change::Start),
        SandboxState::Creating
        | SandboxState::Running
        | SandboxState::Failed
        | SandboxState::Destroyed => None,
    }
}

/// Whether it was closed to new work between the look at it and the use of it.
fn is_going_to_sleep(entered: &Result<Entered>) -> bool {
    matches!(entered, Err(error) if error.code() == Code::SandboxNotRunning)
}

fn is_set_up(sandbox: &Sandbox) -> bool {
    !sandbox.spec.more.setup.is_pending()
}

fn is_refusal(error: &GuestError) -> bool {
    let GuestError::Refused { kind, .. } = error else {
        return false;
    };
    *kind == FailureKind::ConnectionRefused
}

fn not_running(error: Error) -> Error {
    unavailable(error.message().to_owned()).detail("reason", error.code().as_str())
}

fn not_dialed(port: u16, error: GuestError) -> Error {
    let text = match &error {
        GuestError::Refused {
            kind: FailureKind::ConnectionRefused,
            ..
        } => format!(
            "nothing listens on port {port} of the sandbox; start a server there and try again"
        ),
        GuestError::Refused { .. } | GuestError::Timeout => {
            format!("port {port} of the sandbox did not accept a connection in time")
        }
        GuestError::Lost | GuestError::Version(_) | GuestError::Protocol(_) | GuestError::Io(_) => {
            "the sandbox cannot be reached at the moment".to_owned()
        }
    };
    unavailable(text).detail("port", port).because(error)
}

fn crowded() -> Error {
    Error::new(
        Code::Unavailable,
        "the preview has too many requests at once; try again shortly",
    )
    .retry_after(Duration::from_secs(1))
}

fn unavailable(text: impl Into<String>) -> Error {
    Error::new(Code::PreviewUnavailable, text)
}
