//! Opening a preview by its slug, and judging what a caller presents to it.

use std::sync::Arc;

use pinfold_model::tunnel::{Traffic, Wake};
use pinfold_model::{
    Code, Ctx, Error, KeyId, Level, Preview, PreviewAccess, PreviewId, PreviewState, Principal,
    ProjectId, Resource, Result, SandboxId, Slug, Time, Tunnel, TunnelKey,
};
use pinfold_store::KeptPreview;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{PREVIEW_LINK_PREFIX, PREVIEW_TOKEN_PREFIX};
use crate::Engine;
use crate::clock::Clock;
use crate::keys::{SECRET_PREFIX, principal};

/// Requests and WebSockets that one preview has at once.
const VISITS_MAX: usize = 512;
/// Look-ups in a row that an ending elsewhere may overtake.
const ATTEMPTS: usize = 16;

/// What an address is called by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Preview(Slug),
    Tunnel(TunnelKey),
}

/// What an address reaches inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Port(u16),
    Every(Traffic, Wake),
}

/// What is known of an address that works.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: Name,
    pub(super) id: PreviewId,
    pub(super) sandbox: SandboxId,
    pub(super) project: ProjectId,
    pub(super) access: PreviewAccess,
    pub(super) expires_at: Option<Time>,
    pub(super) reach: Reach,
}

/// What a look-up finds: facts, and the hash of the token that opens it.
type Found = (Facts, Option<[u8; 32]>);

/// A preview, or a tunnel, whose address works.
pub struct OpenPreview {
    pub(super) facts: Facts,
    token_hash: Option<[u8; 32]>,
    over: CancellationToken,
    pub(super) visits: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for OpenPreview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenPreview").field(&self.facts).finish()
    }
}

/// What a secret that came with a request is to a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It opens the preview; `Some`: it is that key's.
    Opens(Option<KeyId>),
    /// It is a valid key that may not use this preview. The application inside must not see it.
    Forbidden,
    /// It is one of this installation's and opens nothing here: revoked, expired, or another preview's.
    /// The application inside must not see it either.
    Dead,
    /// It means nothing here, and may mean something to the application inside.
    Foreign,
}

impl OpenPreview {
    fn new(facts: Facts, token_hash: Option<[u8; 32]>, clock: Arc<dyn Clock>) -> Self {
        Self {
            facts,
            token_hash,
            over: CancellationToken::new(),
            visits: Arc::new(Semaphore::new(VISITS_MAX)),
            clock,
        }
    }

    /// What opens it.
    #[must_use]
    pub fn access(&self) -> PreviewAccess {
        self.facts.access
    }

    fn require_unexpired(&self, now: Time) -> Result<()> {
        match self.facts.expires_at {
            Some(at) if at <= now => Err(gone(PreviewState::Expired)),
            Some(_) | None => Ok(()),
        }
    }

    /// Completes when the preview is revoked, expires, or its sandbox ends: its connections have to
    /// end then.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let over = self.over.clone();
        let clock = Arc::clone(&self.clock);
        let expires_at = self.facts.expires_at;
        async move {
            match expires_at {
                None => over.cancelled().await,
                Some(at) => tokio::select! {
                    () = over.cancelled() => {}
                    () = clock.sleep_until(at) => {}
                },
            }
        }
    }

    pub(super) fn end(&self) {
        self.over.cancel();
    }
}

impl Engine {
    /// The preview of that slug, for whoever carries its traffic.
    ///
    /// # Errors
    /// `preview_not_found` where there never was one; `preview_gone` where it has ended.
    pub async fn open_preview(&self, slug: &str) -> Result<Arc<OpenPreview>> {
        self.measured("preview.open", async {
            let slug: Slug = slug.parse().map_err(|_| unknown())?;
            let name = Name::Preview(slug.clone());
            self.opened(&name, || self.preview_called(&slug)).await
        })
        .await
    }

    /// The tunnel of that key, for whoever carries its traffic.
    ///
    /// # Errors
    /// `preview_not_found` where there is none (any more); `preview_gone` where its sandbox has ended.
    pub async fn open_tunnel(&self, key: &TunnelKey) -> Result<Arc<OpenPreview>> {
        self.measured("tunnel.open", async {
            let name = Name::Tunnel(key.clone());
            self.opened(&name, || self.tunnel_called(key)).await
        })
        .await
    }

    async fn preview_called(&self, slug: &Slug) -> Result<Found> {
        let kept = self.store().previews().by_slug(slug).await?;
        let KeptPreview {
            preview,
            token_hash,
        } = kept.ok_or_else(unknown)?;
        require_active(&preview, self.now())?;
        Ok((facts(preview), token_hash))
    }

    async fn tunnel_called(&self, key: &TunnelKey) -> Result<Found> {
        let tunnel = self.store().tunnels().by_key(key).await?;
        let tunnel = tunnel.ok_or_else(unknown)?;
        if tunnel.sandbox_ended_at.is_some() {
            return Err(gone(PreviewState::Ended));
        }
        let token = self.inner.tunnel_tokens.of(&tunnel);
        let token_hash = token.map(|token| self.inner.pepper.hash(&token));
        Ok((facts_of_tunnel(tunnel), token_hash))
    }

    /// From memory, or as `look_up` finds it.
    async fn opened<Looked: Future<Output = Result<Found>>>(
        &self,
        name: &Name,
        look_up: impl Fn() -> Looked,
    ) -> Result<Arc<OpenPreview>> {
        let table = &self.inner.previews;
        if let Some(open) = table.get(name) {
            open.require_unexpired(self.now())
                .inspect_err(|_| table.forget(name))?;
            return Ok(open);
        }
        for _ in 0..ATTEMPTS {
            let generation = table.generation();
            let (facts, token_hash) = look_up().await?;
            let found = OpenPreview::new(facts, token_hash, Arc::clone(&self.inner.clock));
            if let Some(open) = table.put(found, generation) {
                return Ok(open);
            }
        }
        Err(Error::new(Code::Unavailable, "try again shortly"))
    }

    /// What a secret is to a preview.
    pub async fn judge_preview_secret(&self, open: &OpenPreview, secret: &str) -> Result<Verdict> {
        if secret.starts_with(PREVIEW_TOKEN_PREFIX) {
            let hash = self.inner.pepper.hash(secret);
            return Ok(match open.token_hash == Some(hash) {
                true => Verdict::Opens(None),
                false => Verdict::Dead,
            });
        }
        match self.authenticate(secret).await {
            Ok(principal) => {
                let key = principal.key.clone();
                Ok(match self.opens(open, principal).await? {
                    true => Verdict::Opens(key),
                    false => Verdict::Forbidden,
                })
            }
            Err(error) if error.code() == Code::Unauthenticated => {
                let prefixed = [SECRET_PREFIX, PREVIEW_LINK_PREFIX]
                    .iter()
                    .any(|prefix| secret.starts_with(prefix));
                // Tokens of links, which open terminals too, are known by their proof alone.
                let ours = prefixed || self.inner.link_key.made(secret);
                Ok(if ours {
                    Verdict::Dead
                } else {
                    Verdict::Foreign
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the key of that id is valid and may use the preview.
    pub(super) async fn key_opens(&self, open: &OpenPreview, id: &KeyId) -> Result<bool> {
        let Some(key) = self.store().keys().get(id).await? else {
            return Ok(false);
        };
        match principal(&key, self.now()) {
            Ok(principal) => self.opens(open, principal).await,
            Err(_) => Ok(false),
        }
    }

    async fn opens(&self, open: &OpenPreview, principal: Principal) -> Result<bool> {
        let ctx = Ctx::new(principal);
        // Whatever is behind it may be changed through it.
        let may = ctx.require(Resource::Sandboxes, Level::Write).is_ok();
        Ok(may && self.sees(&ctx, &open.facts.project).await?)
    }
}

fn facts(preview: Preview) -> Facts {
    Facts {
        name: Name::Preview(preview.slug),
        id: preview.id,
        sandbox: preview.sandbox,
        project: preview.project,
        access: preview.access,
        expires_at: preview.expires_at,
        reach: Reach::Port(preview.port),
    }
}

fn facts_of_tunnel(tunnel: Tunnel) -> Facts {
    Facts {
        name: Name::Tunnel(tunnel.key),
        id: tunnel.id,
        sandbox: tunnel.sandbox,
        project: tunnel.project,
        access: tunnel.spec.access.of_previews(),
        expires_at: None,
        reach: Reach::Every(tunnel.spec.traffic, tunnel.spec.wake),
    }
}

pub(super) fn require_active(preview: &Preview, now: Time) -> Result<()> {
    match preview.state(now) {
        PreviewState::Active => Ok(()),
        other => Err(gone(other)),
    }
}

fn gone(state: PreviewState) -> Error {
    let why = match state {
        PreviewState::Active | PreviewState::Revoked => "the preview was revoked",
        PreviewState::Expired => "the preview has expired",
        PreviewState::Ended => "the preview's sandbox has ended",
    };
    Error::new(Code::PreviewGone, why)
}

fn unknown() -> Error {
    Error::new(Code::PreviewNotFound, "there is no such preview")
}
