//! Use cases of tunnels: previews of every port of a sandbox.
//!
//! A tunnel's token is shown with the sandbox for as long as the tunnel is there, so it is kept
//! nowhere: it is a keyed hash of the tunnel's id. Its traffic goes the way of a preview's.

use std::collections::HashMap;

use pinfold_model::{
    Code, Ctx, Error, Level, PreviewId, Resource, Result, Sandbox, SandboxId, Time, Tunnel,
    TunnelAccess, TunnelKey, TunnelSpec,
};
use pinfold_store::{Inserted, StoreError, Thing};

use super::{Name, PREVIEW_TOKEN_PREFIX};
use crate::keys::Pepper;
use crate::usecase::Note;
use crate::{Engine, Origin};

/// A tunnel, and what opens it.
#[derive(Clone)]
pub struct ShownTunnel {
    pub tunnel: Tunnel,
    /// Of one with [`TunnelAccess::Token`].
    pub token: Option<String>,
}

impl std::fmt::Debug for ShownTunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShownTunnel")
            .field("tunnel", &self.tunnel.id)
            .finish_non_exhaustive()
    }
}

/// A tunnel as enabling it answers.
#[derive(Debug, Clone)]
pub struct EnabledTunnel {
    pub shown: ShownTunnel,
    /// Replay: the sandbox had this one already.
    pub origin: Origin,
}

/// Makes the tokens of tunnels.
pub(crate) struct TunnelTokens(Pepper);

impl TunnelTokens {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(Pepper::new(secret))
    }

    /// `None` for one that is open.
    pub(super) fn of(&self, tunnel: &Tunnel) -> Option<String> {
        match tunnel.spec.access {
            TunnelAccess::Open => None,
            TunnelAccess::Token => {
                let proof = hex::encode(self.0.hash(tunnel.id.as_str()));
                Some(format!("{PREVIEW_TOKEN_PREFIX}{proof}"))
            }
        }
    }
}

/// One that is not recorded yet.
pub(crate) fn fresh_tunnel(sandbox: &Sandbox, spec: TunnelSpec, now: Time) -> Tunnel {
    Tunnel {
        id: PreviewId::generate(),
        key: TunnelKey::from_random(rand::random()),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        spec,
        created_at: now,
        sandbox_ended_at: None,
    }
}

impl Engine {
    /// Makes the tunnel of a running sandbox, or answers with the one it has ([`Origin::Replay`]).
    ///
    /// # Errors
    /// `already_exists` where that is another one than `spec` says: remove it first.
    pub async fn enable_tunnel(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        spec: TunnelSpec,
    ) -> Result<EnabledTunnel> {
        let note = Note::new("tunnel.enable");
        self.audited(ctx, &note, async {
            let sandbox = self.any_sandbox(ctx, sandbox).await?;
            note.about(sandbox.id.as_str());
            note.of(&sandbox.project);
            note.fact("access", spec.access.of_previews().as_str());
            sandbox.state.require_running()?;
            let fresh = fresh_tunnel(&sandbox, spec, self.now());
            let (tunnel, origin) = match self.store().tunnels().insert(&fresh).await {
                Ok(Inserted::New(tunnel)) => (tunnel, Origin::New),
                Ok(Inserted::Replay(tunnel)) => (tunnel, Origin::Replay),
                Err(StoreError::NotFound {
                    thing: Thing::Sandbox,
                    ..
                }) => return Err(self.ended_meanwhile(ctx, &sandbox.id).await),
                Err(error) => return Err(error.into()),
            };
            note.fact("tunnel", tunnel.id.as_str());
            note.fact("replay", origin == Origin::Replay);
            if tunnel.spec != spec {
                let text = "the sandbox has another tunnel; remove it first";
                return Err(Error::new(Code::AlreadyExists, text));
            }
            let shown = self.shown(tunnel);
            Ok(EnabledTunnel { shown, origin })
        })
        .await
    }

    /// The tunnels of those sandboxes of the caller's that live and have one, by sandbox. None for a
    /// caller who may only look: whoever knows a tunnel may use it.
    pub async fn tunnels_of(
        &self,
        ctx: &Ctx,
        sandboxes: &[&Sandbox],
    ) -> Result<HashMap<SandboxId, ShownTunnel>> {
        if ctx.require(Resource::Sandboxes, Level::Write).is_err() {
            return Ok(HashMap::new());
        }
        self.timed(ctx, "tunnel.list", async {
            let mut live = Vec::new();
            for sandbox in sandboxes {
                if sandbox.state.is_live() && self.sees(ctx, &sandbox.project).await? {
                    live.push(&sandbox.id);
                }
            }
            if live.is_empty() {
                return Ok(HashMap::new());
            }
            let found = self.store().tunnels().of_all(&live).await?;
            let shown = found.into_iter().map(|tunnel| self.shown(tunnel));
            Ok(shown
                .map(|shown| (shown.tunnel.sandbox.clone(), shown))
                .collect())
        })
        .await
    }

    /// Ends the tunnel of a sandbox at once and for good, open connections too. Without one it changes
    /// nothing.
    pub async fn remove_tunnel(&self, ctx: &Ctx, sandbox: &SandboxId) -> Result<()> {
        let (engine, ctx, sandbox) = (self.clone(), ctx.clone(), sandbox.clone());
        // To its end even if the caller goes away: nobody stays in a tunnel that has gone.
        self.detached(async move { engine.remove_tunnel_of(&ctx, &sandbox).await })
            .await
    }

    async fn remove_tunnel_of(&self, ctx: &Ctx, sandbox: &SandboxId) -> Result<()> {
        let note = Note::new("tunnel.remove");
        note.about(sandbox.as_str());
        self.audited(ctx, &note, async {
            let sandbox = self.any_sandbox(ctx, sandbox).await?;
            note.of(&sandbox.project);
            let tunnels = self.store().tunnels();
            let Some(tunnel) = tunnels.of(&sandbox.id).await? else {
                return Ok(());
            };
            note.fact("tunnel", tunnel.id.as_str());
            let deleted = tunnels.delete(&sandbox.id, &tunnel.id).await;
            // Also after an error: it may have been done all the same.
            self.inner.previews.forget(&Name::Tunnel(tunnel.key));
            deleted?;
            Ok(())
        })
        .await
    }

    fn shown(&self, tunnel: Tunnel) -> ShownTunnel {
        let token = self.inner.tunnel_tokens.of(&tunnel);
        ShownTunnel { tunnel, token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::ProjectId;
    use pinfold_model::tunnel::{Traffic, Wake};

    fn tunnel(access: TunnelAccess) -> Tunnel {
        Tunnel {
            id: PreviewId::generate(),
            key: TunnelKey::from_random([0; 26]),
            sandbox: SandboxId::generate(),
            project: ProjectId::generate(),
            spec: TunnelSpec {
                access,
                traffic: Traffic::KeepsInUse,
                wake: Wake::Never,
            },
            created_at: Time::UNIX_EPOCH,
            sandbox_ended_at: None,
        }
    }

    #[test]
    fn a_token_is_the_same_each_time_and_anothers_elsewhere() {
        let tokens = TunnelTokens::new(&[1; 32]);
        let one = tunnel(TunnelAccess::Token);
        let token = tokens.of(&one).expect("a token");
        assert_eq!(tokens.of(&one), Some(token.clone()));
        assert_ne!(tokens.of(&tunnel(TunnelAccess::Token)), Some(token.clone()));
        assert_ne!(TunnelTokens::new(&[2; 32]).of(&one), Some(token));
        assert_eq!(tokens.of(&tunnel(TunnelAccess::Open)), None);
    }
}
