//! Being in a preview: its sandbox runs and counts as in use, and its port can be dialed.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{Code, Error, Result, SandboxId};
use pinfold_runtime::guest::{FailureKind, GuestError};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::OpenPreview;
use crate::Engine;
use crate::live::{LiveSandbox, Use};

/// While one is held the sandbox is in use.
#[derive(Debug)]
pub struct Visit {
    live: Arc<LiveSandbox>,
    life: u32,
    port: u16,
    _in_use: Use,
    _place: OwnedSemaphorePermit,
}

impl Engine {
    /// Begins to use the sandbox behind a preview.
    ///
    /// # Errors
    /// `preview_unavailable` where the sandbox does not run; `unavailable` where the preview has as
    /// many visits as it may have.
    pub async fn enter_preview(&self, open: &OpenPreview) -> Result<Visit> {
        self.measured("preview.enter", async {
            let preview = open.preview();
            let visits = Arc::clone(&open.visits);
            let place = visits.try_acquire_owned().map_err(|_| crowded())?;
            let live = self.inner.registry.sandbox(&preview.sandbox);
            let live = live.ok_or_else(|| unavailable("the sandbox has ended"))?;
            let patience = self.config().attach_timeout;
            let lease = live.lease(patience).await.map_err(not_running)?;
            Ok(Visit {
                life: lease.life(),
                port: preview.port,
                _in_use: lease.into_use(),
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
        let dialed = self.live.dial(self.port, timeout).await;
        dialed.map_err(|error| not_dialed(self.port, error))
    }
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
