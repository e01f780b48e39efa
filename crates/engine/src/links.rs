//! Signed links: the right to one use of one thing until a time, for whoever holds the text.
//!
//! A link says for whom it was made and for what, and is signed with a secret of the store, so it is
//! proved without being recorded and works at every server of that store. What it is for is looked up
//! when it is used: a link to a deleted object or a destroyed sandbox opens nothing. A link ends with
//! the key that made it.

mod token;

use std::time::Duration;

use pinfold_model::sandbox::validate_path;
use pinfold_model::{
    Code, Ctx, Error, Level, ObjectId, Principal, ProjectId, RequestId, Resource, Result, Role,
    SandboxId, SandboxState, Scopes, TerminalsKey, Time, limits,
};
use serde::{Deserialize, Serialize};

use crate::Engine;
use crate::clock::later;
use crate::commands::absolute;
use crate::files::{FileAt, FileKind};
use crate::usecase::Note;

use token::Claims;
pub(crate) use token::LinkKey;

/// How long a link to terminals holds.
const TERMINALS_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Linked {
    ObjectDownload {
        object: ObjectId,
    },
    /// Only while the object is being uploaded.
    ObjectUpload {
        object: ObjectId,
    },
    /// Terminals of a sandbox, together with the key that their host has.
    Terminals {
        sandbox: SandboxId,
        key: TerminalsKey,
    },
    FileDownload {
        sandbox: SandboxId,
        /// Absolute, inside the sandbox.
        path: String,
        /// What the path is confined to, again at each download ([`FileAt::of`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<String>,
    },
}

/// What somebody who shows a link wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkUse {
    Read,
    Write,
    /// To open terminals, to read and to type.
    Terminals,
}

impl Linked {
    const fn allows(&self) -> LinkUse {
        match self {
            Self::ObjectDownload { .. } | Self::FileDownload { .. } => LinkUse::Read,
            Self::ObjectUpload { .. } => LinkUse::Write,
            Self::Terminals { .. } => LinkUse::Terminals,
        }
    }

    /// What whoever signs it has to be allowed.
    const fn need(&self) -> (Resource, Level) {
        match self {
            Self::ObjectDownload { .. } => (Resource::Objects, Level::Read),
            Self::ObjectUpload { .. } => (Resource::Objects, Level::Write),
            Self::FileDownload { .. } => (Resource::Sandboxes, Level::Read),
            Self::Terminals { .. } => (Resource::Sandboxes, Level::Write),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::ObjectDownload { .. } => "object_download",
            Self::ObjectUpload { .. } => "object_upload",
            Self::FileDownload { .. } => "file_download",
            Self::Terminals { .. } => "terminals",
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::ObjectDownload { object } | Self::ObjectUpload { object } => object.as_str(),
            Self::FileDownload { sandbox, .. } | Self::Terminals { sandbox, .. } => {
                sandbox.as_str()
            }
        }
    }
}

/// A signed link. Whoever holds the token may use it, so it is as secret as what it leads to.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Letters, digits, `-`, `_` and `.`.
    pub token: String,
    pub expires_at: Time,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A link that was shown and holds: on whose behalf, and for what.
#[derive(Debug, Clone)]
pub struct Redeemed {
    pub ctx: Ctx,
    pub linked: Linked,
}

impl Engine {
    /// A link for downloading a sealed object, any number of times, for `lifetime` from now (1
    /// second to 7 days; an hour where it is `None`).
    pub async fn sign_object_download(
        &self,
        ctx: &Ctx,
        id: &ObjectId,
        lifetime: Option<Duration>,
    ) -> Result<Link> {
        let linked = Linked::ObjectDownload { object: id.clone() };
        self.signed(ctx, linked, lifetime, async {
            let object = self.object(ctx, id).await?;
            object.state.require_sealed()?;
            Ok(object.project)
        })
        .await
    }

    /// A link for uploading the content of an object, while it is being uploaded.
    pub async fn sign_object_upload(
        &self,
        ctx: &Ctx,
        id: &ObjectId,
        lifetime: Option<Duration>,
    ) -> Result<Link> {
        let linked = Linked::ObjectUpload { object: id.clone() };
        self.signed(ctx, linked, lifetime, async {
            let object = self.object(ctx, id).await?;
            object.state.require_uploading()?;
            Ok(object.project)
        })
        .await
    }

    /// A link for downloading a file of a sandbox as it is at the time of the download. The file
    /// need not exist yet.
    pub async fn sign_file_download(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: &str,
        lifetime: Option<Duration>,
    ) -> Result<Link> {
        self.sign_file(ctx, id, path.into(), lifetime).await
    }

    async fn sign_file(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        at: FileAt<'_>,
        lifetime: Option<Duration>,
    ) -> Result<Link> {
        let sandbox = self.any_sandbox(ctx, id).await?;
        let base = at.directory().unwrap_or(&sandbox.spec.workdir);
        let path = absolute(base, at.path());
        let linked = Linked::FileDownload {
            sandbox: id.clone(),
            path: path.clone(),
            within: at.directory().map(Into::into),
        };
        self.signed(ctx, linked, lifetime, async {
            if at.path().is_empty() {
                return Err(Error::invalid("path", "path is missing"));
            }
            validate_path("path", &path)?;
            if sandbox.state == SandboxState::Destroyed {
                sandbox.state.require_running()?;
            }
            Ok(sandbox.project.clone())
        })
        .await
    }

    /// The same for a regular file that is there now. Where its path is confined, the link stays
    /// so: whatever the path leads through by then, a download gives nothing from outside.
    pub async fn sign_found_file<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        lifetime: Option<Duration>,
    ) -> Result<Link> {
        let path = path.into();
        match self.stat_target(ctx, id, path).await?.kind {
            FileKind::File => self.sign_file(ctx, id, path, lifetime).await,
            FileKind::Directory | FileKind::Symlink | FileKind::Other => Err(Error::new(
                Code::NotAFile,
                format!("{}: is no regular file", path.path()),
            )),
        }
    }

    /// A link that opens terminals of a running sandbox, any number of times, for a day. Whoever uses
    /// it shows the key too, which is in the name of a host.
    pub async fn sign_terminals(&self, ctx: &Ctx, id: &SandboxId) -> Result<(TerminalsKey, Link)> {
        let key = TerminalsKey::from_random(rand::random());
        let linked = Linked::Terminals {
            sandbox: id.clone(),
            key: key.clone(),
        };
        let link = self.signed(ctx, linked, Some(TERMINALS_LIFE), async {
            let sandbox = self.any_sandbox(ctx, id).await?;
            sandbox.state.require_running()?;
            Ok(sandbox.project)
        });
        Ok((key, link.await?))
    }

    /// Proves a link. Holds no longer than the link, the key that made it, and what it is for.
    pub async fn redeem(
        &self,
        token: &str,
        wanted: LinkUse,
        request: RequestId,
    ) -> Result<Redeemed> {
        self.measured("link.redeem", async {
            let claims = self.inner.link_key.open(token)?;
            let now = self.now();
            if claims.expires_ms <= now.as_millisecond() {
                return Err(Error::new(
                    Code::LinkExpired,
                    "the time of this link is over; ask its owner for another",
                ));
            }
            if claims.linked.allows() != wanted {
                return Err(Error::new(
                    Code::LinkInvalid,
                    "this link is for something else: downloads are read, uploads are put",
                ));
            }
            if let Some(key) = &claims.key {
                let key = self.store().keys().get(key).await?;
                let holds = key.is_some_and(|key| {
                    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now)
                });
                if !holds {
                    return Err(Error::new(
                        Code::LinkInvalid,
                        "the key that made this link has been revoked or has expired",
                    ));
                }
            }
            let principal = Principal {
                org: claims.org,
                project: claims.project,
                role: Role::Member,
                // The link itself says what it is for.
                scopes: Scopes::All,
                key: claims.key,
            };
            Ok(Redeemed {
                ctx: Ctx { principal, request },
                linked: claims.linked,
            })
        })
        .await
    }

    /// Signs for the project that `check` finds the thing in.
    async fn signed(
        &self,
        ctx: &Ctx,
        linked: Linked,
        lifetime: Option<Duration>,
        check: impl Future<Output = Result<ProjectId>>,
    ) -> Result<Link> {
        let note = Note::new("link.sign");
        note.about(linked.subject());
        note.fact("use", linked.name());
        self.audited_behind(ctx, &note, async {
            let (resource, level) = linked.need();
            ctx.require(resource, level)?;
            let lifetime = lifetime.unwrap_or(limits::LINK_DEFAULT);
            if !(Duration::from_secs(1)..=limits::LINK_MAX).contains(&lifetime) {
                return Err(Error::invalid(
                    "expires_in",
                    "a link is valid from 1 second to 7 days",
                ));
            }
            let project = check.await?;
            note.of(&project);
            let expires_at = later(self.now(), lifetime);
            note.fact("expires_at", expires_at.to_string());
            let token = self.inner.link_key.seal(&Claims {
                version: token::VERSION,
                org: ctx.principal.org.clone(),
                project,
                key: ctx.principal.key.clone(),
                expires_ms: expires_at.as_millisecond(),
                linked,
            });
            Ok(Link { token, expires_at })
        })
        .await
    }
}
