//! Use cases of previews: addresses outside that reach a port inside.
//!
//! What a preview is and who may use it is decided here; how its traffic is carried is the business
//! of a facade, which opens it ([`Engine::open_preview`]), asks about what the caller presents
//! ([`Engine::judge_preview_secret`]), enters ([`Engine::enter_preview`]) and dials.

mod open;
mod session;
mod table;
mod tunnel;
mod visit;

use std::time::Duration;

use pinfold_model::preview::port;
use pinfold_model::{
    Code, Ctx, Error, Preview, PreviewAccess, PreviewId, Result, SandboxId, Slug, limits,
};
use pinfold_store::{
    Inserted, KeptPreview, Page, PageRequest, PreviewFilter, PreviewLink, StoreError, Thing,
};

use crate::clock::later;
use crate::keys::secret;
use crate::usecase::Note;
use crate::{Engine, Origin};

pub(crate) use open::Name;
pub use open::{OpenPreview, Verdict};
pub use session::PreviewSession;
pub(crate) use session::Sessions;
pub(crate) use table::PreviewTable;
pub use tunnel::{EnabledTunnel, ShownTunnel};
pub(crate) use tunnel::{TunnelTokens, fresh_tunnel};
pub use visit::Visit;

/// What a preview's own token begins with.
pub const PREVIEW_TOKEN_PREFIX: &str = "pvt_";
/// What the secret of a link that opens a preview once begins with.
pub const PREVIEW_LINK_PREFIX: &str = "pvl_";
/// The longest a preview may live when it expires at all.
const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long a link stays unused, unless the caller says otherwise, and at most.
const LINK_LIFE: Duration = Duration::from_secs(300);
const LINK_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a new preview is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatePreview {
    /// 1 to 65535. Nothing has to listen there yet.
    pub port: u16,
    pub access: PreviewAccess,
    /// From now, at most 366 days; `None`: as long as its sandbox.
    pub expires_in: Option<Duration>,
}

/// A preview as creating it answers.
#[derive(Clone)]
pub struct CreatedPreview {
    pub preview: Preview,
    /// What opens a new preview with [`PreviewAccess::Token`]; shown this once and kept nowhere.
    pub token: Option<String>,
    pub origin: Origin,
}

impl std::fmt::Debug for CreatedPreview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedPreview")
            .field("preview", &self.preview)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// What opens a preview in a browser, once.
#[derive(Clone)]
pub struct CreatedPreviewLink {
    pub preview: Preview,
    /// Shown this once and kept nowhere.
    pub secret: String,
    pub expires_at: pinfold_model::Time,
}

impl std::fmt::Debug for CreatedPreviewLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedPreviewLink")
            .field("preview", &self.preview.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Which previews of a sandbox a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListedPreviews {
    #[default]
    All,
    Active,
}

impl Engine {
    /// Makes a preview of a port, or answers with the active one that the port has
    /// ([`Origin::Replay`], without its token; its expiry stays what it was).
    ///
    /// # Errors
    /// `already_exists` where the active one has another access: revoke it first;
    /// `quota_exceeded` beyond the active previews that a sandbox may have; `sandbox_gone` or
    /// `sandbox_failed` where the sandbox has ended.
    pub async fn create_preview(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: CreatePreview,
    ) -> Result<CreatedPreview> {
        let note = Note::new("preview.create");
        self.audited(ctx, &note, async {
            port(request.port.into())?;
            check_life("expires_in", request.expires_in, LIFE_MAX)?;
            let sandbox = self.any_sandbox(ctx, sandbox).await?;
            note.of(&sandbox.project);
            note.fact("sandbox", sandbox.id.as_str());
            note.fact("port", request.port);
            note.fact("access", request.access.as_str());
            if !sandbox.state.is_live() {
                sandbox.state.require_running()?;
            }
            let (kept, token) = self.new_preview(&sandbox, request);
            let created = match self.recorded_preview(kept, token).await {
                Err(StoreError::NotFound {
                    thing: Thing::Sandbox,
                    ..
                }) => return Err(self.ended_meanwhile(ctx, &sandbox.id).await),
                created => created?,
            };
            note.about(created.preview.id.as_str());
            note.fact("replay", created.origin == Origin::Replay);
            same_access(&created, request.access)?;
            Ok(created)
        })
        .await
    }

    pub async fn get_preview(&self, ctx: &Ctx, id: &PreviewId) -> Result<Preview> {
        self.timed(ctx, "preview.get", self.preview(ctx, id)).await
    }

    /// Those of one sandbox, newest first, also when the sandbox has ended.
    pub async fn list_previews(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        which: ListedPreviews,
        page: &PageRequest,
    ) -> Result<Page<Preview>> {
        self.timed(ctx, "preview.list", async {
            self.any_sandbox(ctx, sandbox).await?;
            let filter = match which {
                ListedPreviews::All => PreviewFilter::All,
                ListedPreviews::Active => PreviewFilter::ActiveAt(self.now()),
            };
            Ok(self.store().previews().list(sandbox, filter, page).await?)
        })
        .await
    }

    /// Ends a preview at once and for good, open connections too. Repeating it changes nothing.
    pub async fn revoke_preview(&self, ctx: &Ctx, id: &PreviewId) -> Result<Preview> {
        let note = Note::new("preview.revoke");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let preview = self.preview(ctx, id).await?;
            note.of(&preview.project);
            let revoked = self.store().previews().revoke(id, self.now()).await?;
            let name = Name::Preview(revoked.slug.clone());
            self.inner.previews.forget(&name);
            Ok(revoked)
        })
        .await
    }

    /// Revokes the active preview that a port has; without one it changes nothing.
    pub async fn revoke_port(&self, ctx: &Ctx, sandbox: &SandboxId, port: u16) -> Result<()> {
        let mut after = None;
        loop {
            let page = PageRequest::new(limits::PAGE_MAX, after);
            let active = ListedPreviews::Active;
            let found = self.list_previews(ctx, sandbox, active, &page).await?;
            let of_port = found.items.iter().find(|preview| preview.port == port);
            if let Some(preview) = of_port {
                return self.revoke_preview(ctx, &preview.id).await.map(drop);
            }
            after = found.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Makes what opens an active preview in a browser, once, within `life` (5 minutes unless the
    /// caller says otherwise, a day at most). The session it begins ends with the caller's key.
    pub async fn create_preview_link(
        &self,
        ctx: &Ctx,
        id: &PreviewId,
        life: Option<Duration>,
    ) -> Result<CreatedPreviewLink> {
        let note = Note::new("preview.link");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            check_life("expires_in", life, LINK_LIFE_MAX)?;
            let preview = self.preview(ctx, id).await?;
            note.of(&preview.project);
            let now = self.now();
            open::require_active(&preview, now)?;
            let secret = secret::generate(PREVIEW_LINK_PREFIX);
            let link = PreviewLink {
                secret_hash: self.inner.pepper.hash(&secret),
                preview: preview.id.clone(),
                key: ctx.principal.key.clone(),
                expires_at: later(now, life.unwrap_or(LINK_LIFE)),
            };
            self.store().previews().insert_link(&link).await?;
            Ok(CreatedPreviewLink {
                preview,
                secret,
                expires_at: link.expires_at,
            })
        })
        .await
    }

    async fn preview(&self, ctx: &Ctx, id: &PreviewId) -> Result<Preview> {
        match self.store().previews().get(id).await? {
            Some(preview) if self.sees(ctx, &preview.project).await? => Ok(preview),
            _ => Err(Error::new(
                Code::PreviewNotFound,
                format!("no preview {id}"),
            )),
        }
    }

    pub(crate) async fn ended_meanwhile(&self, ctx: &Ctx, id: &SandboxId) -> Error {
        match self.recorded_sandbox(ctx, id).await {
            Ok(sandbox) => sandbox.state.require_running().err().unwrap_or_else(|| {
                Error::new(
                    Code::Unavailable,
                    "the sandbox is ending; try again shortly",
                )
            }),
            Err(error) => error,
        }
    }

    fn new_preview(
        &self,
        sandbox: &pinfold_model::Sandbox,
        request: CreatePreview,
    ) -> (KeptPreview, Option<String>) {
        let now = self.now();
        let token = (request.access == PreviewAccess::Token)
            .then(|| secret::generate(PREVIEW_TOKEN_PREFIX));
        let preview = Preview {
            id: PreviewId::generate(),
            slug: Slug::from_random(rand::random()),
            sandbox: sandbox.id.clone(),
            project: sandbox.project.clone(),
            port: request.port,
            access: request.access,
            created_at: now,
            expires_at: request.expires_in.map(|life| later(now, life)),
            revoked_at: None,
            sandbox_ended_at: None,
        };
        let token_hash = token.as_deref().map(|token| self.inner.pepper.hash(token));
        let kept = KeptPreview {
            preview,
            token_hash,
        };
        (kept, token)
    }

    async fn recorded_preview(
        &self,
        kept: KeptPreview,
        token: Option<String>,
    ) -> Result<CreatedPreview, StoreError> {
        let max = self.config().previews_per_sandbox;
        Ok(match self.store().previews().insert(&kept, max).await? {
            Inserted::New(kept) => {
                metrics::counter!("pinfold_previews_created_total").increment(1);
                CreatedPreview {
                    preview: kept.preview,
                    token,
                    origin: Origin::New,
                }
            }
            Inserted::Replay(known) => CreatedPreview {
                preview: known.preview,
                token: None,
                origin: Origin::Replay,
            },
        })
    }
}

/// A preview that others may be using is never opened wider, nor closed, by a mere creation.
fn same_access(created: &CreatedPreview, wanted: PreviewAccess) -> Result<()> {
    let preview = &created.preview;
    if preview.access == wanted {
        return Ok(());
    }
    Err(Error::new(
        Code::AlreadyExists,
        format!(
            "port {} has an active preview with the access \"{}\"; revoke it first",
            preview.port,
            preview.access.as_str()
        ),
    )
    .detail("preview_id", preview.id.as_str())
    .detail("access", preview.access.as_str()))
}

fn check_life(field: &str, life: Option<Duration>, max: Duration) -> Result<()> {
    if life.is_some_and(|life| life.is_zero() || life > max) {
        let days = max.as_secs() / 86400;
        return Err(Error::invalid(
            field,
            format!("{field} must be from 1 ms to {days} days"),
        ));
    }
    Ok(())
}
