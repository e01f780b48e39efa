//! Being in a sandbox over SSH.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{Code, Ctx, Error, Principal, Result, SandboxId, SandboxState, SshKey, Time};
use pinfold_runtime::guest::{FailureKind, GuestError};
use tokio::net::TcpStream;

use super::table::Listed;
use crate::Engine;
use crate::clock::Clock;
use crate::keys::principal;
use crate::live::{LiveSandbox, Use};
use crate::usecase::Note;

/// Somebody who has proved to hold a key of a sandbox. While it is held the sandbox is in use.
pub struct SshLogin {
    ctx: Ctx,
    live: Arc<LiveSandbox>,
    listed: Listed,
    /// When the API key ends that made the key.
    until: Option<Time>,
    clock: Arc<dyn Clock>,
    _in_use: Use,
}

/// As whom a key acts.
struct Maker {
    principal: Principal,
    /// When that has an end.
    until: Option<Time>,
}

impl Engine {
    /// The key with that fingerprint, where it opens the sandbox that `user` names. Nothing is told
    /// about why one does not.
    pub async fn find_ssh_key(&self, user: &str, fingerprint: &str) -> Result<Option<SshKey>> {
        self.measured("ssh_key.find", async {
            let Ok(sandbox) = user.parse::<SandboxId>() else {
                return Ok(None);
            };
            let keys = self.store().ssh_keys();
            let Some(key) = keys.by_fingerprint(&sandbox, fingerprint).await? else {
                return Ok(None);
            };
            let opens = self.who_made(&key).await?.is_some();
            Ok(opens.then_some(key))
        })
        .await
    }

    /// Lets somebody in who has proved to hold the key.
    ///
    /// # Errors
    /// With a text for whoever is there: where the key has ended meanwhile, or its sandbox has ended
    /// or does not run.
    pub async fn enter_over_ssh(&self, key: &SshKey, peer: std::net::IpAddr) -> Result<SshLogin> {
        // Before the look-up: what ends the key from now on finds this login.
        let listed = self.inner.ssh_logins.add(key);
        let keys = self.store().ssh_keys();
        let maker = match keys.get(&key.sandbox, &key.id).await? {
            Some(key) => self.who_made(&key).await?,
            None => None,
        };
        let maker = maker.ok_or_else(ended)?;
        let ctx = Ctx::new(maker.principal);
        let note = Note::new("ssh.login");
        note.about(key.sandbox.as_str());
        note.of(&key.project);
        note.fact("ssh_key", key.id.as_str());
        note.fact("peer", peer.to_string());
        self.audited(&ctx, &note, async {
            let live = self.need_live(&ctx, &key.sandbox).await?;
            let lease = live.lease(self.config().attach_timeout).await?;
            Ok(SshLogin {
                _in_use: lease.into_use(),
                ctx: ctx.clone(),
                live,
                listed,
                until: maker.until,
                clock: Arc::clone(&self.inner.parts.clock),
            })
        })
        .await
    }

    /// As whom the key acts; `None` where it has expired, or the API key that made it is no longer
    /// valid.
    async fn who_made(&self, key: &SshKey) -> Result<Option<Maker>> {
        let now = self.now();
        if key.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let Some(id) = &key.created_by else {
            let principal = Principal {
                project: key.project.clone(),
                ..self.system_principal()
            };
            return Ok(Some(Maker {
                principal,
                until: None,
            }));
        };
        let maker = self.store().keys().get(id).await?;
        Ok(maker.and_then(|maker| {
            Some(Maker {
                principal: principal(&maker, now).ok()?,
                until: maker.expires_at,
            })
        }))
    }
}

impl SshLogin {
    /// As whom everything is done.
    #[must_use]
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    #[must_use]
    pub fn sandbox(&self) -> &SandboxId {
        self.live.id()
    }

    /// The directory that commands and relative paths begin at.
    #[must_use]
    pub fn workdir(&self) -> String {
        self.live.view().sandbox.spec.workdir.clone()
    }

    /// Completes when this login has to end, and says why: its key was deleted, the API key that made
    /// it has ended, or the sandbox was stopped or has ended. One that is suspended comes back with its
    /// connections.
    pub async fn ended(&self) -> Error {
        let lives = |state| {
            use SandboxState::{Creating, Running, Suspended};
            matches!(state, Creating | Running | Suspended)
        };
        let expired = async {
            match self.until {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.listed.over() => ended(),
            () = expired => ended(),
            sandbox = self.live.until(|sandbox| !lives(sandbox.state)) => {
                sandbox.state.require_running().err().unwrap_or_else(ended)
            }
        }
    }

    /// Connects to a port inside: on 127.0.0.1, then on ::1.
    ///
    /// # Errors
    /// `port_not_listening` where nothing accepts within `timeout`.
    pub async fn dial(&self, port: u16, timeout: Duration) -> Result<TcpStream> {
        let dialed = self.live.dial(port, timeout).await;
        dialed.map_err(|error| {
            let text = match &error {
                GuestError::Refused {
                    kind: FailureKind::ConnectionRefused,
                    ..
                } => format!("nothing listens on port {port} of the sandbox"),
                _ => format!("port {port} of the sandbox cannot be reached"),
            };
            Error::new(Code::PortNotListening, text).because(error)
        })
    }
}

impl std::fmt::Debug for SshLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SshLogin").field(self.sandbox()).finish()
    }
}

fn ended() -> Error {
    Error::new(
        Code::Unauthenticated,
        "the SSH key no longer opens the sandbox",
    )
}
