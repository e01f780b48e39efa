//! Opening a preview by its slug, and judging what a caller presents to it.

use std::sync::Arc;

use pinfold_model::{
    Code, Ctx, Error, KeyId, Level, Preview, PreviewState, Principal, Resource, Result, Slug, Time,
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

/// A preview whose address works.
pub struct OpenPreview {
    preview: Preview,
    pub(super) token_hash: Option<[u8; 32]>,
    over: CancellationToken,
    pub(super) visits: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for OpenPreview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenPreview").field(&self.preview).finish()
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
    fn new(kept: KeptPreview, clock: Arc<dyn Clock>) -> Self {
        Self {
            preview: kept.preview,
            token_hash: kept.token_hash,
            over: CancellationToken::new(),
            visits: Arc::new(Semaphore::new(VISITS_MAX)),
            clock,
        }
    }

    #[must_use]
    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    /// Completes when the preview is revoked, expires, or its sandbox ends: its connections have to
    /// end then.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let over = self.over.clone();
        let clock = Arc::clone(&self.clock);
        let expires_at = self.preview.expires_at;
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
            let table = &self.inner.previews;
            if let Some(open) = table.get(&slug) {
                require_active(&open.preview, self.now()).inspect_err(|_| table.forget(&slug))?;
                return Ok(open);
            }
            for _ in 0..ATTEMPTS {
                let generation = table.generation();
                let kept = self.store().previews().by_slug(&slug).await?;
                let kept = kept.ok_or_else(unknown)?;
                require_active(&kept.preview, self.now())?;
                let found = OpenPreview::new(kept, Arc::clone(&self.inner.clock));
                if let Some(open) = table.put(found, generation) {
                    return Ok(open);
                }
            }
            Err(Error::new(Code::Unavailable, "try again shortly"))
        })
        .await
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
                let ours = [SECRET_PREFIX, PREVIEW_LINK_PREFIX]
                    .iter()
                    .any(|prefix| secret.starts_with(prefix));
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
        Ok(may && self.sees(&ctx, &open.preview.project).await?)
    }
}

pub(super) fn require_active(preview: &Preview, now: Time) -> Result<()> {
    let why = match preview.state(now) {
        PreviewState::Active => return Ok(()),
        PreviewState::Revoked => "the preview was revoked",
        PreviewState::Expired => "the preview has expired",
        PreviewState::Ended => "the preview's sandbox has ended",
    };
    Err(Error::new(Code::PreviewGone, why))
}

fn unknown() -> Error {
    Error::new(Code::PreviewNotFound, "there is no such preview")
}
