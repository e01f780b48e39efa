//! Use cases of API keys: proving who calls, creating, listing and revoking keys.
//!
//! A secret is `pfk_`, 32 random bytes in hex and a checksum of 8 digits. Only its HMAC-SHA-256
//! under the store's pepper is kept, so neither the database nor a log can give a secret away.

mod cache;
pub(crate) mod secret;

use std::time::Duration;

use pinfold_model::sandbox::validate_name;
use pinfold_model::{
    Code, Ctx, Error, Key, KeyId, KeyKind, Principal, ProjectId, Quota, Result, Role, Scopes, Time,
};
use pinfold_store::{Page, PageRequest};

use crate::clock::later;
use crate::usecase::Note;
use crate::{Engine, QuotaChange};

pub(crate) use cache::KeyCache;
pub(crate) use secret::Pepper;

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct CreateKey {
    pub name: String,
    pub role: Role,
    pub kind: KeyKind,
    /// `None`: the caller's own project.
    pub project: Option<ProjectId>,
    /// `None`: it lives as long as the key that makes it.
    pub expires: Option<Expires>,
    pub scopes: Scopes,
    /// Bounds of what it makes, beside its project's; none where not named.
    pub quota: QuotaChange,
}

/// When a new key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    In(Duration),
    At(Time),
}

impl Expires {
    fn at(self, now: Time) -> Result<Time> {
        let at = match self {
            Self::In(life) => later(now, life),
            Self::At(at) => at,
        };
        if at > now && at <= later(now, KEY_LIFE_MAX) {
            return Ok(at);
        }
        let text = "a key lives from 1 ms to 10 years";
        Err(Error::invalid("expires_in_ms", text))
    }
}

/// A new key and its secret, which is shown this once and kept nowhere.
#[derive(Clone)]
pub struct CreatedKey {
    pub key: Key,
    pub secret: String,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What a key's secret begins with.
pub(crate) const SECRET_PREFIX: &str = "pfk_";
/// Shortest secret an operator may choose for the first admin key.
pub const BOOTSTRAP_SECRET_MIN_CHARS: usize = 24;
/// Longest secret that is looked at.
const SECRET_MAX_BYTES: usize = 512;
/// How many characters of a secret its key shows: of its beginning and of its end.
const PREFIX_CHARS: usize = 12;
const SUFFIX_CHARS: usize = 4;
/// The longest a key may live when it expires at all.
const KEY_LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Engine {
    /// Who holds this secret. Unknown, revoked and expired ones are told apart only in the log.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal> {
        if secret.is_empty() || secret.len() > SECRET_MAX_BYTES {
            return Err(unauthenticated());
        }
        let now = self.now();
        let hash = self.inner.pepper.hash(secret);
        if let Some(key) = self.inner.keys.get(&hash, now) {
            return principal(&key, now);
        }
        let generation = self.inner.keys.generation();
        let found = self.store().keys().by_secret_hash(hash).await?;
        let Some(key) = found else {
            return Err(unauthenticated());
        };
        let principal = principal(&key, now)?;
        self.store().keys().touch(&key, now).await?;
        self.inner.keys.put(hash, key, now, generation);
        Ok(principal)
    }

    /// Makes a key with no wider scopes than the caller's, and no longer life. Needs the role admin; the
    /// key's project has to be of the caller's org.
    pub async fn create_key(&self, ctx: &Ctx, request: CreateKey) -> Result<CreatedKey> {
        let note = Note::new("key.create");
        self.audited(ctx, &note, async {
            ctx.require_admin()?;
            validate_name("name", &request.name)?;
            let now = self.now();
            let wanted = request.expires.map(|expires| expires.at(now)).transpose()?;
            only_sandboxes(request.quota)?;
            if !ctx.principal.scopes.cover(&request.scopes) {
                return Err(Error::new(
                    Code::PermissionDenied,
                    "a key with scopes makes keys with scopes, and none wider than its own",
                ));
            }
            let project = match &request.project {
                Some(id) => self.project_of_org(ctx, id).await?.id,
                None => ctx.principal.project.clone(),
            };
            let secret = secret::generate(SECRET_PREFIX);
            let expires_at = self.within_the_makers_life(ctx, wanted).await?;
            let key = Key {
                id: KeyId::generate(),
                org: ctx.principal.org.clone(),
                project,
                name: request.name,
                kind: request.kind,
                role: request.role,
                scopes: request.scopes,
                prefix: shown(&secret),
                suffix: end_of(&secret),
                quota: request.quota.apply(Quota::UNBOUNDED),
                created_at: now,
                expires_at,
                revoked_at: None,
                last_used_at: None,
            };
            note.about(key.id.as_str());
            note.fact("role", key.role.as_str());
            if let Some(scopes) = key.scopes.texts() {
                note.fact("scopes", scopes);
            }
            self.store()
                .keys()
                .insert(&key, self.inner.pepper.hash(&secret))
                .await?;
            Ok(CreatedKey { key, secret })
        })
        .await
    }

    /// No key outlives the one that made it by making another.
    async fn within_the_makers_life(
        &self,
        ctx: &Ctx,
        wanted: Option<Time>,
    ) -> Result<Option<Time>> {
        let Some(id) = &ctx.principal.key else {
            return Ok(wanted);
        };
        let maker = self.key_of_org(ctx, id).await?;
        // What authenticated it may be older than its end.
        principal(&maker, self.now())?;
        match (wanted, maker.expires_at) {
            (Some(wanted), Some(end)) if wanted > end => Err(Error::invalid(
                "expires_in_ms",
                format!("the key that makes it expires at {end}; the new one has to by then"),
            )),
            (wanted, end) => Ok(wanted.or(end)),
        }
    }

    /// Every key of the caller's org, newest first. Needs the role admin.
    pub async fn list_keys(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Key>> {
        self.timed(ctx, "key.list", async {
            ctx.require_admin()?;
            Ok(self.store().keys().list(&ctx.principal.org, page).await?)
        })
        .await
    }

    /// One key of the caller's org. Needs the role admin.
    pub async fn get_key(&self, ctx: &Ctx, id: &KeyId) -> Result<Key> {
        self.timed(ctx, "key.get", async {
            ctx.require_admin()?;
            self.key_of_org(ctx, id).await
        })
        .await
    }

    /// Holds for sandboxes that the key makes from now on. Needs the role admin.
    pub async fn change_key_quota(
        &self,
        ctx: &Ctx,
        id: &KeyId,
        change: QuotaChange,
    ) -> Result<Key> {
        let note = Note::new("key.quota");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            ctx.require_admin()?;
            only_sandboxes(change)?;
            let key = self.key_of_org(ctx, id).await?;
            let quota = change.apply(key.quota);
            Ok(self.store().keys().set_quota(id, quota).await?)
        })
        .await
    }

    async fn key_of_org(&self, ctx: &Ctx, id: &KeyId) -> Result<Key> {
        match self.store().keys().get(id).await? {
            Some(key) if key.org == ctx.principal.org => Ok(key),
            _ => Err(no_key(id)),
        }
    }

    /// Ends a key at once and for good; repeating it changes nothing. Needs the role admin.
    pub async fn revoke_key(&self, ctx: &Ctx, id: &KeyId) -> Result<Key> {
        let (engine, ctx, id) = (self.clone(), ctx.clone(), id.clone());
        // To its end even if the caller goes away: nobody stays in with a key that has ended.
        self.detached(async move { engine.revoke(&ctx, &id).await })
            .await
    }

    async fn revoke(&self, ctx: &Ctx, id: &KeyId) -> Result<Key> {
        let note = Note::new("key.revoke");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            ctx.require_admin()?;
            self.key_of_org(ctx, id).await?;
            let revoked = self.store().keys().revoke(id, self.now()).await;
            // Also after an error: it may have been done all the same.
            self.inner.keys.forget(id);
            self.inner.ssh_logins.end_those_of(id);
            Ok(revoked?)
        })
        .await
    }

    /// The caller as authentication found it.
    #[must_use]
    pub fn whoami<'a>(&self, ctx: &'a Ctx) -> &'a Principal {
        &ctx.principal
    }

    /// Makes sure that the default org has an admin key at first start. With a secret of the
    /// operator's choice (24 characters or more) that one becomes an admin key; without, and when
    /// there is no key yet, a fresh one is made and returned for the operator.
    pub async fn bootstrap_key(&self, chosen: Option<&str>) -> Result<Option<CreatedKey>> {
        let ctx = Ctx::new(self.system_principal());
        match chosen {
            Some(secret) => {
                self.adopt_secret(&ctx, secret).await?;
                Ok(None)
            }
            None => {
                let any = PageRequest::new(1, None);
                let keys = self.store().keys().list(&ctx.principal.org, &any).await?;
                if !keys.items.is_empty() {
                    return Ok(None);
                }
                let request = CreateKey {
                    name: "bootstrap".to_owned(),
                    role: Role::Admin,
                    kind: KeyKind::User,
                    project: None,
                    expires: None,
                    scopes: Scopes::All,
                    quota: QuotaChange::default(),
                };
                self.create_key(&ctx, request).await.map(Some)
            }
        }
    }

    async fn adopt_secret(&self, ctx: &Ctx, secret: &str) -> Result<()> {
        let chars = secret.chars().count();
        if chars < BOOTSTRAP_SECRET_MIN_CHARS || secret.len() > SECRET_MAX_BYTES {
            return Err(Error::invalid(
                "bootstrap_key",
                format!(
                    "a bootstrap key has {BOOTSTRAP_SECRET_MIN_CHARS} to {SECRET_MAX_BYTES} \
                     characters"
                ),
            ));
        }
        let hash = self.inner.pepper.hash(secret);
        if self.store().keys().by_secret_hash(hash).await?.is_some() {
            return Ok(());
        }
        let note = Note::new("key.bootstrap");
        self.audited(ctx, &note, async {
            let key = Key {
                id: KeyId::generate(),
                org: ctx.principal.org.clone(),
                project: ctx.principal.project.clone(),
                name: "bootstrap".to_owned(),
                kind: KeyKind::User,
                role: Role::Admin,
                scopes: Scopes::All,
                prefix: secret.chars().take(4).collect(),
                suffix: end_of(secret),
                quota: Quota::UNBOUNDED,
                created_at: self.now(),
                expires_at: None,
                revoked_at: None,
                last_used_at: None,
            };
            note.about(key.id.as_str());
            Ok(self.store().keys().insert(&key, hash).await?)
        })
        .await
    }
}

pub(crate) fn principal(key: &Key, now: Time) -> Result<Principal> {
    let expired = key.expires_at.is_some_and(|at| at <= now);
    if key.revoked_at.is_some() || expired {
        tracing::info!(key = %key.id, expired, "a dead key was presented");
        return Err(unauthenticated());
    }
    Ok(Principal {
        org: key.org.clone(),
        project: key.project.clone(),
        role: key.role,
        scopes: key.scopes.clone(),
        key: Some(key.id.clone()),
    })
}

/// Objects belong to projects and to no key.
fn only_sandboxes(change: QuotaChange) -> Result<()> {
    match change.object_bytes {
        Some(Some(_)) => Err(Error::invalid(
            "quota.object_bytes",
            "a key has no bound of its own on objects; set its project's",
        )),
        _ => Ok(()),
    }
}

fn unauthenticated() -> Error {
    Error::new(
        Code::Unauthenticated,
        "the key is unknown, revoked or expired; send a valid one as \"Authorization: Bearer KEY\"",
    )
}

fn no_key(id: &KeyId) -> Error {
    Error::new(Code::KeyNotFound, format!("no key {id}"))
}

fn shown(secret: &str) -> String {
    secret.chars().take(PREFIX_CHARS).collect()
}

/// Of a secret with 24 characters or more.
fn end_of(secret: &str) -> String {
    let skipped = secret.chars().count().saturating_sub(SUFFIX_CHARS);
    secret.chars().skip(skipped).collect()
}
