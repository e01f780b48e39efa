//! What a sandbox may reach: looking at it, and changing it while it runs.

use pinfold_egress::{Counts, Refused};
use pinfold_model::sandbox::validate_network;
use pinfold_model::{Ctx, Level, NetworkMode, NetworkPolicy, Resource, Result, SandboxId};
use pinfold_runtime::guest::{FilePath, WriteOptions};
use tokio::io::AsyncWriteExt;

use crate::Engine;
use crate::errors::guest_error;
use crate::live::Change;

const RESOLVER: &str = "/etc/resolv.conf";

/// The network of one sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxNetwork {
    pub mode: NetworkMode,
    pub policy: NetworkPolicy,
    /// Of the mode `policy`, since this server has known the sandbox.
    pub counts: Counts,
    /// The last things that were refused, oldest first.
    pub refused: Vec<Refused>,
}

impl Engine {
    pub async fn sandbox_network(&self, ctx: &Ctx, id: &SandboxId) -> Result<SandboxNetwork> {
        self.timed(ctx, "sandbox.network", self.network_of(ctx, id))
            .await
    }

    /// Changes what a sandbox may reach. The change holds when this returns; connections that are
    /// not allowed any more are cut. A change of the mode also changes its /etc/resolv.conf.
    pub async fn set_sandbox_network(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        mode: NetworkMode,
        policy: NetworkPolicy,
    ) -> Result<SandboxNetwork> {
        validate_network(mode, &policy)?;
        let before = self.any_sandbox(ctx, id).await?.spec.network;
        // First: a crash in between is seen by whoever asked, since there is no answer.
        if before != mode {
            self.write_resolver(ctx, id, mode).await?;
        }
        let changed = self
            .changed(
                ctx,
                "sandbox.network.set",
                id,
                Change::Network(mode, policy),
            )
            .await;
        if let Err(error) = changed {
            if before != mode {
                let _ = self.write_resolver(ctx, id, before).await;
            }
            return Err(error);
        }
        self.network_of(ctx, id).await
    }

    async fn network_of(&self, ctx: &Ctx, id: &SandboxId) -> Result<SandboxNetwork> {
        let live = self.live(ctx, id).await?;
        let spec = match &live {
            Some(live) => live.sandbox().spec,
            None => self.recorded_sandbox(ctx, id).await?.spec,
        };
        let egress = live.as_ref().and_then(|live| live.egress());
        Ok(SandboxNetwork {
            mode: spec.network,
            policy: spec.network_policy,
            counts: egress
                .map(pinfold_egress::Egress::counts)
                .unwrap_or_default(),
            refused: egress
                .map(pinfold_egress::Egress::last_refused)
                .unwrap_or_default(),
        })
    }

    /// As root, whoever the sandbox's commands are: nobody else may write that file.
    pub(crate) async fn write_resolver(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        mode: NetworkMode,
    ) -> Result<()> {
        ctx.require(Resource::Sandboxes, Level::Write)?;
        let content = self.inner.parts.driver.resolver(mode);
        let lease = self.lease(ctx, id).await?;
        let options = WriteOptions {
            mode: 0o644,
            parents: true,
            ..WriteOptions::default()
        };
        let path = FilePath::new(RESOLVER);
        let file = lease.guest().write(&path, options).await;
        let mut file = file.map_err(guest_error)?;
        // The end of the transfer knows why, where this fails.
        let _ = file.write_all(content.as_bytes()).await;
        file.finish().await.map(drop).map_err(guest_error)
    }
}
