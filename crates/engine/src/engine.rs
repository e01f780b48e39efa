//! The engine's handle, and what all use cases share.

mod idempotency;
mod orgs;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pinfold_egress::{Authority, Outside};
use pinfold_images::HostRoot;
use pinfold_model::audit::AuditEvent;
use pinfold_model::{Code, Error, Principal, Result, Role, Scopes, Time};
use pinfold_store::{Home, Store};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::audit::trail;
use crate::axons::Axons;
use crate::behind::Behind;
use crate::builds::Builds;
use crate::commands::Collecting;
use crate::config::{EngineConfig, Parts};
use crate::gateways::{Changes, TokenKey};
use crate::host::HostLook;
use crate::images::{Exports, Pulls, Unrecorded};
use crate::keys::{KeyCache, Pepper};
use crate::links::LinkKey;
use crate::live::{Ending, Registry, endings};
use crate::pipelines::Runs;
use crate::previews::{PreviewTable, Sessions, TunnelTokens};
use crate::secrets::Vault;
use crate::sessions::Terminals;
use crate::ssh::Logins;
use crate::warm;
use orgs::Orgs;

pub(crate) use idempotency::fingerprint;

/// All use cases. Cheap to clone; clones are one engine. Its tasks end with the last clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What becomes of sandboxes when the engine shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// They live on and are found again at the next start.
    KeepSandboxes,
    /// All are destroyed.
    DestroySandboxes,
}

/// What the engine's tasks share. Holds no handle of the engine, so tasks do not keep it alive.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) parts: Parts,
    pub(crate) registry: Registry,
    /// Sandboxes that nobody owns yet.
    pub(crate) warm: warm::Pool,
    /// Runs of pipelines that have not ended.
    pub(crate) runs: Runs,
    /// Builds that have not ended.
    pub(crate) builds: Builds,
    pub(crate) previews: PreviewTable,
    pub(crate) axons: Axons,
    /// Who is attached to terminals with a name.
    pub(crate) terminals: Terminals,
    /// The way out of sandboxes with a network policy, once one has been there.
    outside: OnceLock<Outside>,
    /// Whom sandboxes with credentials trust, and its key.
    authority: OnceLock<Arc<Authority>>,
    authority_key: [u8; 32],
    /// Signs the tokens of gateways.
    pub(crate) token_key: TokenKey,
    /// Told of what calls of gateways stand on.
    pub(crate) gateway_changes: Changes,
    /// Secrets, sealed and opened.
    pub(crate) vault: Vault,
    /// Snapshots that are being taken.
    pub(crate) unrecorded: Unrecorded,
    /// The image `host`, where this machine can offer it.
    pub(crate) host: Option<HostRoot>,
    /// Records of how commands ended.
    pub(crate) endings: Behind<Ending>,
    /// Every task of this engine.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the tasks have to end.
    pub(crate) ending: CancellationToken,
}

impl Shared {
    /// What this machine reaches for sandboxes with a network policy.
    pub(crate) fn outside(&self) -> Result<&Outside> {
        if let Some(outside) = self.outside.get() {
            return Ok(outside);
        }
        let outside = Outside::new(&self.config.name_servers)
            .map_err(|error| Error::new(Code::Unsupported, error.to_string()))?;
        Ok(self.outside.get_or_init(|| outside))
    }

    /// Whom sandboxes with credentials trust; the same for every server of this installation.
    pub(crate) fn authority(&self) -> Result<Arc<Authority>> {
        if let Some(authority) = self.authority.get() {
            return Ok(Arc::clone(authority));
        }
        let authority = Authority::new(&self.authority_key).map_err(Error::internal)?;
        Ok(Arc::clone(
            self.authority.get_or_init(|| Arc::new(authority)),
        ))
    }
}

impl std::ops::Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) home: Home,
    pub(crate) pepper: Pepper,
    pub(crate) sessions: Sessions,
    pub(crate) tunnel_tokens: TunnelTokens,
    pub(crate) link_key: LinkKey,
    pub(crate) keys: KeyCache,
    pub(crate) orgs: Orgs,
    pub(crate) trail: Behind<AuditEvent>,
    pub(crate) pulls: Pulls,
    pub(crate) exports: Exports,
    pub(crate) ssh_logins: Logins,
    pub(crate) collecting: Collecting,
    started: AtomicBool,
    _end_tasks: DropGuard,
}

impl std::ops::Deref for Inner {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Engine {
    /// Makes the engine over its parts and sees to what a fresh store lacks: the default org and
    /// project, the image `host`, the shipped templates. Serves use cases after [`Engine::start`].
    pub async fn open(config: EngineConfig, parts: Parts) -> Result<Self> {
        let looking = HostLook::begin(&parts.layers);
        Self::open_looking(config, parts, looking).await
    }

    /// The same where the look at this machine has begun already.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub async fn open_looking(
        config: EngineConfig,
        parts: Parts,
        looking: HostLook,
    ) -> Result<Self> {
        let home = parts.store.projects().bootstrap(parts.clock.now()).await?;
        let pepper = Pepper::new(&parts.store.settings().secret("key_pepper").await?);
        let sessions = parts.store.settings().secret("preview_sessions").await?;
        let token_key = TokenKey::new(&parts.store.settings().secret("gateway_tokens").await?);
        let tunnel_tokens = parts.store.settings().secret("tunnel_tokens").await?;
        let authority_key = parts.store.settings().secret("egress_authority").await?;
        let link_key = LinkKey::new(&parts.store.settings().secret("link_key").await?);
        let vault = Vault::open(&config.secrets_key, parts.store.clone()).await?;
        let host = looking.end().await;
        let ending = CancellationToken::new();
        let trail = trail(parts.store.clone());
        let endings = endings(parts.store.clone());
        let inner = Inner {
            shared: Arc::new(Shared {
                warm: warm::Pool::new(config.warm_sandboxes),
                terminals: Terminals::new(Arc::clone(&parts.clock)),
                config,
                parts,
                registry: Registry::default(),
                runs: Runs::default(),
                builds: Builds::default(),
                previews: PreviewTable::default(),
                axons: Axons::default(),
                outside: OnceLock::new(),
                authority: OnceLock::new(),
                authority_key,
                token_key,
                gateway_changes: Changes::default(),
                vault,
                unrecorded: Unrecorded::default(),
                host: host.clone(),
                endings,
                tasks: TaskTracker::new(),
                ending: ending.clone(),
            }),
            home,
            pepper,
            sessions: Sessions::new(&sessions),
            tunnel_tokens: TunnelTokens::new(&tunnel_tokens),
            link_key,
            keys: KeyCache::default(),
            orgs: Orgs::default(),
            trail,
            pulls: Pulls::default(),
            exports: Exports::default(),
            ssh_logins: Logins::default(),
            collecting: Collecting::default(),
            started: AtomicBool::new(false),
            _end_tasks: ending.drop_guard(),
        };
        let engine = Self {
            inner: Arc::new(inner),
        };
        engine.ship_host_image(host).await?;
        engine.ship_templates().await?;
        Ok(engine)
    }

    /// Finds every sandbox again that an earlier engine left, brings records and reality together,
    /// and starts the reconcilers. Call it once, before the first use case.
    pub async fn start(&self) -> Result<()> {
        crate::recovery::recover(&self.inner.shared).await?;
        crate::builds::recover(self).await?;
        crate::reconcile::start(&self.inner.shared);
        let keeper = warm::keep(Arc::clone(&self.inner.shared));
        self.inner.tasks.spawn(keeper);
        self.inner.started.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends the engine's tasks. What was accepted is recorded; with [`Drain::KeepSandboxes`]
    /// commands run on in their sandboxes.
    pub async fn shutdown(&self, drain: Drain) {
        let shared = &self.inner.shared;
        if drain == Drain::DestroySandboxes {
            shared.runs.cancel_all();
            shared.builds.cancel_all();
            shared.registry.destroy_all().await;
        }
        shared.ending.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        // Last: nobody is left who would ask the driver for anything.
        shared.driver.settle().await;
        shared.endings.flush().await;
        self.inner.trail.flush().await;
    }

    /// Whether use cases are served: from the end of [`Engine::start`] to the beginning of
    /// [`Engine::shutdown`].
    #[must_use]
    pub fn ready(&self) -> bool {
        self.inner.started.load(Ordering::Acquire) && !self.inner.ending.is_cancelled()
    }

    /// The process itself: the default project, the role admin, no key.
    #[must_use]
    pub fn system_principal(&self) -> Principal {
        Principal {
            org: self.inner.home.org.id.clone(),
            project: self.inner.home.project.id.clone(),
            role: Role::Admin,
            scopes: Scopes::All,
            key: None,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    pub(crate) fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// What the engine's clock shows.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner.parts.clock.now()
    }

    /// Runs work to its end even if the caller goes away meanwhile.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if self.inner.ending.is_cancelled() {
            return Err(Error::new(Code::Unavailable, "the server is shutting down"));
        }
        match self.inner.tasks.spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(Error::internal(error)),
        }
    }
}
