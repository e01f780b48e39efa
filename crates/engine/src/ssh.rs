//! Use cases of reaching a sandbox over SSH: keys that open one sandbox, and those who log in with them.
//!
//! ```text
//! key: made for a sandbox --> row (public half) --> login: row + its maker's API key + sandbox --> SshLogin
//!                              |                                                                    |
//!                           deleted, or its maker's key revoked, or the sandbox ended ------> the login ends
//! ```
//! Who holds the private half may do in that sandbox what the API key may that made it, and nothing
//! elsewhere. The protocol is spoken by the crate `ssh`; this module has no byte of it.

mod login;
mod pair;
mod table;

use std::time::Duration;

use pinfold_model::{Code, Ctx, Error, Result, SandboxId, SshGateway, SshKey, SshKeyId, limits};
use pinfold_store::{Inserted, Page, PageRequest, StoreError, Thing};
use zeroize::Zeroizing;

use crate::clock::later;
use crate::usecase::Note;
use crate::{Engine, Origin};

pub use login::SshLogin;
pub(crate) use table::Logins;

/// Which key to make.
#[derive(Debug, Clone, Default)]
pub struct CreateSshKey {
    /// The caller's own, as in `authorized_keys`; `None`: a fresh pair is made.
    pub public_key: Option<String>,
    /// Nobody logs in with it after that; at most a year. `None`: for as long as the sandbox lives.
    pub expires_in: Option<Duration>,
}

/// A key, and how to come in with it.
#[derive(Clone)]
pub struct CreatedSshKey {
    pub key: SshKey,
    /// As OpenSSH reads it from a file, and `None` for a public key of the caller's. Shown this once
    /// and kept nowhere.
    pub private_key: Option<Zeroizing<String>>,
    pub gateway: SshGateway,
    /// Replay: the sandbox had this public key already, and its expiry stays what it was.
    pub origin: Origin,
}

impl std::fmt::Debug for CreatedSshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedSshKey")
            .field("key", &self.key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Where SSH clients reach this installation.
    ///
    /// # Errors
    /// `unsupported` where it has no SSH gateway.
    pub fn ssh_gateway(&self) -> Result<&SshGateway> {
        self.config().ssh.as_ref().ok_or_else(|| {
            Error::new(
                Code::Unsupported,
                "this server has no SSH gateway; start it with --ssh-listen ADDRESS",
            )
        })
    }

    /// Makes a key that opens the sandbox over SSH.
    ///
    /// # Errors
    /// `unsupported` without a gateway; `quota_exceeded` beyond the keys that a sandbox may have;
    /// `sandbox_gone` or `sandbox_failed` where the sandbox has ended.
    pub async fn create_ssh_key(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: CreateSshKey,
    ) -> Result<CreatedSshKey> {
        let note = Note::new("ssh_key.create");
        self.audited(ctx, &note, async {
            check_life(request.expires_in)?;
            let sandbox = self.any_sandbox(ctx, sandbox).await?;
            note.of(&sandbox.project);
            note.fact("sandbox", sandbox.id.as_str());
            if !sandbox.state.is_live() {
                sandbox.state.require_running()?;
            }
            let gateway = self.ssh_gateway()?.clone();
            let (public, private_key) = match &request.public_key {
                Some(text) => (pair::parsed(text)?, None),
                None => pair::fresh(&sandbox.id)?,
            };
            let now = self.now();
            let key = SshKey {
                id: SshKeyId::generate(),
                sandbox: sandbox.id.clone(),
                project: sandbox.project.clone(),
                public_key: public.text,
                fingerprint: public.fingerprint,
                created_at: now,
                expires_at: request.expires_in.map(|life| later(now, life)),
                created_by: ctx.principal.key.clone(),
            };
            let keys = self.store().ssh_keys();
            let (key, origin) = match keys.insert(&key, limits::SSH_KEYS_MAX).await {
                Ok(Inserted::New(key)) => (key, Origin::New),
                Ok(Inserted::Replay(key)) => (key, Origin::Replay),
                Err(StoreError::NotFound {
                    thing: Thing::Sandbox,
                    ..
                }) => return Err(self.ended_meanwhile(ctx, &sandbox.id).await),
                Err(error) => return Err(error.into()),
            };
            note.about(key.id.as_str());
            note.fact("fingerprint", key.fingerprint.as_str());
            note.fact("replay", origin == Origin::Replay);
            Ok(CreatedSshKey {
                key,
                private_key,
                gateway,
                origin,
            })
        })
        .await
    }

    /// Those that open the sandbox now, newest first; none of a sandbox that has ended.
    pub async fn list_ssh_keys(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        page: &PageRequest,
    ) -> Result<Page<SshKey>> {
        self.timed(ctx, "ssh_key.list", async {
            self.any_sandbox(ctx, sandbox).await?;
            Ok(self
                .store()
                .ssh_keys()
                .list(sandbox, self.now(), page)
                .await?)
        })
        .await
    }

    /// Deletes a key at once and for good, and ends the connections of those who came in with it.
    pub async fn delete_ssh_key(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        id: &SshKeyId,
    ) -> Result<()> {
        let (engine, ctx) = (self.clone(), ctx.clone());
        let (sandbox, id) = (sandbox.clone(), id.clone());
        // To its end even if the caller goes away: nobody stays in with a key that has gone.
        self.detached(async move { engine.delete_key_of(&ctx, &sandbox, &id).await })
            .await
    }

    async fn delete_key_of(&self, ctx: &Ctx, sandbox: &SandboxId, id: &SshKeyId) -> Result<()> {
        let note = Note::new("ssh_key.delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let sandbox = self.any_sandbox(ctx, sandbox).await?;
            note.of(&sandbox.project);
            note.fact("sandbox", sandbox.id.as_str());
            let deleted = self.store().ssh_keys().delete(&sandbox.id, id).await;
            // Also after an error: it may have been done all the same.
            self.inner.ssh_logins.end(&sandbox.id, id);
            match deleted {
                Err(StoreError::NotFound { .. }) => Err(Error::new(
                    Code::SshKeyNotFound,
                    format!("the sandbox has no SSH key {id}"),
                )),
                deleted => Ok(deleted?),
            }
        })
        .await
    }
}

fn check_life(life: Option<Duration>) -> Result<()> {
    if life.is_some_and(|life| life.is_zero() || life > limits::SSH_KEY_LIFE_MAX) {
        return Err(Error::invalid(
            "expires_in_ms",
            "a key for SSH opens its sandbox from 1 ms to a year, or without an end of its own",
        ));
    }
    Ok(())
}
