//! Use cases of sandboxes: creating, looking, and every change of their lives.

mod network;
mod request;
mod resolve;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinfold_model::sandbox::EndReason;
use pinfold_model::{
    Code, Ctx, Error, Isolation, Result, Sandbox, SandboxId, SandboxState, SecretEnv, limits,
};
use pinfold_store::{Idempotency, Inserted, Page, PageRequest, SandboxFilter, Transition};

use crate::access::scope;
use crate::engine::Shared;
use crate::errors::driver_error;
use crate::live::{self, Birth, Change};
use crate::previews::fresh_tunnel;
use crate::secrets::seal_setup;
use crate::usecase::Note;
use crate::warm::Wanted;
use crate::{Accepted, Engine, Origin};

pub use network::SandboxNetwork;
pub use request::{CreateSandbox, DescribeSandbox, ImageOrTemplate, Wait};
pub use watch::SandboxWatch;

pub(crate) use resolve::{Resolved, default_hostname, fresh};

impl Engine {
    /// Makes a sandbox. With [`Wait::Running`] it answers when the sandbox runs, or with the reason
    /// why it did not boot; with [`Wait::No`] at once.
    ///
    /// The same idempotency key with the same request answers with the same sandbox; with another
    /// request it is a conflict.
    pub async fn create_sandbox(
        &self,
        ctx: &Ctx,
        request: CreateSandbox,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Sandbox>> {
        let note = Note::new("sandbox.create");
        self.audited_behind(ctx, &note, async {
            let wait = request.wait;
            let claim = match request.setup_secrets.is_empty() {
                true => self.claim(ctx, "sandbox.create", idempotency, &request)?,
                // Its own form leaves the values out.
                false => {
                    let values = request.setup_secrets.values().map(SecretEnv::values);
                    let whole = (&request, values.collect::<Vec<_>>());
                    self.claim(ctx, "sandbox.create", idempotency, &whole)?
                }
            };
            let acting = self.acting_in(ctx, request.project.as_ref()).await?;
            note.of(&acting.principal.project);
            let (sandbox, origin) = match self.resolve(&acting, request).await {
                Ok(resolved) => self.accept(resolved, claim).await?,
                Err(error) => (self.made_before(claim, error).await?, Origin::Replay),
            };
            note.about(sandbox.id.as_str());
            note.fact("image", sandbox.spec.image_name.as_str());
            note.fact("replay", origin == Origin::Replay);
            let value = match wait {
                Wait::Running => self.booted(ctx, sandbox).await?,
                Wait::No => self.as_it_is_now(sandbox),
            };
            Ok(Accepted { value, origin })
        })
        .await
    }

    /// What the same request made before what it names was removed; else `error`, which says what
    /// is missing.
    async fn made_before(&self, claim: Option<Idempotency>, error: Error) -> Result<Sandbox> {
        let Some(claim) = claim else {
            return Err(error);
        };
        let made = self.store().sandboxes().replay(&claim, self.now()).await?;
        made.ok_or(error)
    }

    pub async fn get_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.timed(ctx, "sandbox.get", self.any_sandbox(ctx, id))
            .await
    }

    /// Newest first.
    pub async fn list_sandboxes(
        &self,
        ctx: &Ctx,
        filter: &SandboxFilter,
        page: &PageRequest,
    ) -> Result<Page<Sandbox>> {
        self.timed(ctx, "sandbox.list", async {
            let store = self.store().sandboxes();
            let mut page = store.list(&scope(ctx), filter, page).await?;
            for item in &mut page.items {
                if let Some(live) = self.inner.registry.sandbox(&item.id) {
                    *item = live.sandbox();
                }
            }
            Ok(page)
        })
        .await
    }

    /// A stream of what the sandbox is, from now until it has ended.
    pub async fn watch_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<SandboxWatch> {
        self.timed(ctx, "sandbox.watch", async {
            Ok(match self.live(ctx, id).await? {
                Some(live) => SandboxWatch::live(live.watch()),
                None => SandboxWatch::ended(self.recorded_sandbox(ctx, id).await?),
            })
        })
        .await
    }

    /// Waits until a sandbox is no longer being created, at most `patience`; then answers with
    /// what it is, whatever that is.
    pub async fn wait_sandbox(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        patience: Duration,
    ) -> Result<Sandbox> {
        self.timed(ctx, "sandbox.wait", async {
            let Some(live) = self.live(ctx, id).await? else {
                return self.recorded_sandbox(ctx, id).await;
            };
            let settled = live.until(|sandbox| sandbox.state != SandboxState::Creating);
            Ok(match tokio::time::timeout(patience, settled).await {
                Ok(sandbox) => sandbox,
                Err(_) => live.sandbox(),
            })
        })
        .await
    }

    /// Changes name or metadata of a live sandbox.
    pub async fn describe_sandbox(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: DescribeSandbox,
    ) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.describe", id, Change::Describe(request))
            .await
    }

    /// Takes the CPU away and keeps everything else. Repeating it changes nothing.
    pub async fn suspend_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.suspend", id, Change::Suspend)
            .await
    }

    pub async fn resume_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.resume", id, Change::Resume)
            .await
    }

    /// Ends all processes and keeps the disk. Commands that do not end within the grace are lost.
    pub async fn stop_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.stop", id, Change::Stop).await
    }

    /// Stops it, or suspends it where this machine keeps no disks of what does not run. Unlike
    /// [`Engine::stop_sandbox`] and [`Engine::suspend_sandbox`] it does not wait for what the sandbox wants to
    /// have run before that: the answer is of one that still runs then.
    pub async fn rest_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.stop", id, Change::Rest).await
    }

    /// Boots a stopped sandbox on its own disk.
    pub async fn start_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.changed(ctx, "sandbox.start", id, Change::Start).await
    }

    /// Moves the end of the absolute lifetime to `ttl` from now, be that later or earlier. The same
    /// idempotency key with the same request moves it once.
    pub async fn extend_sandbox(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        ttl: Duration,
        idempotency: Option<&str>,
    ) -> Result<Sandbox> {
        if ttl.is_zero() || ttl > limits::TTL_MAX {
            return Err(Error::invalid(
                "ttl_ms",
                "ttl_ms must be from 1 ms to 30 days",
            ));
        }
        let claim = self.claim_in(ctx, id, "sandbox.extend", idempotency, &(id, ttl))?;
        self.changed(ctx, "sandbox.extend", id, Change::Extend(ttl, claim))
            .await
    }

    /// Its idle timeout begins again, and so does its absolute lifetime, as long as it was.
    pub async fn keep_sandbox_alive(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        self.timed(ctx, "sandbox.keep_alive", async {
            let live = self.need_live(ctx, id).await?;
            drop(live.use_it());
            match live.sandbox().ttl {
                Some(ttl) => self.extend_sandbox(ctx, id, ttl, None).await,
                None => Ok(live.sandbox()),
            }
        })
        .await
    }

    /// Ends a sandbox for good. Repeating it answers with the sandbox as it ended.
    pub async fn destroy_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        let note = Note::new("sandbox.destroy");
        note.about(id.as_str());
        self.audited_behind(ctx, &note, async {
            if let Some(live) = self.live(ctx, id).await? {
                note.of(live.project());
                if let Some(done) = live.change(Change::Destroy(EndReason::Requested)).await {
                    return done;
                }
            }
            let sandbox = self.recorded_sandbox(ctx, id).await?;
            note.of(&sandbox.project);
            if sandbox.state == SandboxState::Destroyed {
                return Ok(sandbox);
            }
            destroy_ended(self.shared(), sandbox).await
        })
        .await
    }

    /// Sandboxes that are booted and belong to nobody yet.
    #[must_use]
    pub fn warm_sandboxes(&self) -> usize {
        self.inner.warm.ready()
    }

    /// What stands between a sandbox and this machine.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.inner.parts.driver.isolation()
    }

    /// Done in a task of its own, so that a caller who goes away cannot leave a recorded sandbox
    /// without an owner.
    async fn accept(
        &self,
        resolved: Resolved,
        claim: Option<Idempotency>,
    ) -> Result<(Sandbox, Origin)> {
        let shared = self.shared().clone();
        self.detached(async move {
            let Resolved {
                mut sandbox,
                image,
                tunnel,
                setup_secrets,
            } = resolved;
            let warm = Wanted::of(&shared, &mut sandbox, &image);
            if let Err(error) = seal_setup(&shared, &mut sandbox, &setup_secrets) {
                if let Some(warm) = warm {
                    warm.refused(&shared, Some(&error));
                }
                return Err(error);
            }
            let resolved = Resolved {
                sandbox,
                image,
                tunnel,
                setup_secrets: BTreeMap::new(),
            };
            accept_warm(&shared, resolved, warm, claim.as_ref()).await
        })
        .await
    }

    pub(super) async fn changed(
        &self,
        ctx: &Ctx,
        action: &'static str,
        id: &SandboxId,
        change: Change,
    ) -> Result<Sandbox> {
        let note = Note::new(action);
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let live = self.need_live(ctx, id).await?;
            note.of(live.project());
            match live.change(change).await {
                Some(done) => done,
                None => Err(ended(&self.recorded_sandbox(ctx, id).await?)),
            }
        })
        .await
    }

    async fn booted(&self, ctx: &Ctx, sandbox: Sandbox) -> Result<Sandbox> {
        let now = match self.inner.registry.sandbox(&sandbox.id) {
            Some(live) => {
                live.until(|sandbox| sandbox.state != SandboxState::Creating)
                    .await
            }
            None => self.recorded_sandbox(ctx, &sandbox.id).await?,
        };
        match (now.state, now.reason) {
            (SandboxState::Failed, Some(EndReason::BootFailed)) => Err(boot_failed(&now)),
            _ => Ok(now),
        }
    }

    fn as_it_is_now(&self, recorded: Sandbox) -> Sandbox {
        match self.inner.registry.sandbox(&recorded.id) {
            Some(live) => live.sandbox(),
            None => recorded,
        }
    }
}

/// Records the sandbox and gives it its owner task.
pub(crate) async fn accept(
    shared: &Arc<Shared>,
    resolved: Resolved,
    claim: Option<&Idempotency>,
) -> Result<(Sandbox, Origin)> {
    accept_warm(shared, resolved, None, claim).await
}

/// The same for one that may have been booted already. If this process dies here, that is an
/// orphan until it is recorded, and found as one that was being created from then on.
async fn accept_warm(
    shared: &Arc<Shared>,
    resolved: Resolved,
    warm: Option<Wanted>,
    claim: Option<&Idempotency>,
) -> Result<(Sandbox, Origin)> {
    let Resolved {
        sandbox,
        image,
        tunnel,
        ..
    } = resolved;
    // Before the record: whoever replays the key has to find the sandbox to wait for.
    let nascent = live::adopt(shared, sandbox.clone(), image);
    let sandboxes = shared.store.sandboxes();
    let tunnel = tunnel.map(|spec| fresh_tunnel(&sandbox, spec, sandbox.created_at));
    let inserted = sandboxes
        .insert_with(&sandbox, tunnel.as_ref(), claim)
        .await;
    if let Ok(Inserted::New(sandbox)) = inserted {
        metrics::counter!("pinfold_sandboxes_created_total").increment(1);
        nascent.begin(Birth::Fresh, warm.and_then(|warm| warm.accepted(shared)));
        return Ok((sandbox, Origin::New));
    }
    let other = inserted.map_err(Error::from);
    // Before its id may be another's: it takes what is registered by that id along.
    drop(nascent);
    if let Some(warm) = warm {
        warm.refused(shared, other.as_ref().err());
    }
    Ok((other?.into_inner(), Origin::Replay))
}

/// Destroys one for the engine itself, whatever has become of it; one that never was is fine.
pub(crate) async fn destroy(shared: &Shared, id: &SandboxId) -> Result<()> {
    if let Some(live) = shared.registry.sandbox(id)
        && let Some(done) = live.change(Change::Destroy(EndReason::Requested)).await
    {
        return done.map(drop);
    }
    match shared.store.sandboxes().get(id).await? {
        Some(sandbox) if sandbox.state != SandboxState::Destroyed => {
            destroy_ended(shared, sandbox).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Destroys one without an owner: it failed, or its owner has just ended.
async fn destroy_ended(shared: &Shared, sandbox: Sandbox) -> Result<Sandbox> {
    let change = Transition {
        reason: sandbox.reason.or(Some(EndReason::Requested)),
        ..Transition::new(SandboxState::Destroyed, shared.clock.now())
    };
    let destroyed = shared.driver.destroy(&sandbox.id).await;
    destroyed.map_err(driver_error)?;
    let sandboxes = shared.store.sandboxes();
    let done = sandboxes
        .transition(&sandbox.id, &SandboxState::ALL, &change)
        .await?;
    Ok(done.unwrap_or(sandbox))
}

fn boot_failed(sandbox: &Sandbox) -> Error {
    let why = sandbox.failure.as_deref().unwrap_or("it did not boot");
    Error::new(
        Code::SandboxFailed,
        format!("the sandbox did not boot: {why}"),
    )
    .detail("sandbox_id", sandbox.id.as_str())
}

/// Why nothing can be changed any more.
fn ended(sandbox: &Sandbox) -> Error {
    match sandbox.state.require_running() {
        Err(error) => error,
        Ok(()) => Error::new(Code::Unavailable, "the server is shutting down"),
    }
}
