//! Sealed values in the store and opened ones for the egress proxy; locked where there is no key that
//! opens what is stored.

use std::time::Instant;

use pinfold_model::{Code, Error, ProjectId, Result, Secret, SecretValue, limits};
use pinfold_store::Store;
use zeroize::Zeroizing;

use super::cache::SecretCache;
use super::master::{MasterKey, SecretsKey};
use super::seal::{OpenError, Seal, key_id};
use crate::errors::chain;

/// Secrets of all projects.
pub(crate) struct Vault {
    store: Store,
    seal: Result<Seal, Locked>,
    cache: SecretCache,
}

/// Why nothing can be sealed or opened. Names, times and deletions work all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locked {
    /// This process was given none.
    NoKey,
    /// Something is sealed, and the file is not there.
    Missing,
    /// Something is sealed, under another one.
    Other,
    /// The file cannot be used; the log says why.
    Broken,
    /// Something is sealed in a way that this version does not know.
    Unknown,
}

impl Locked {
    fn message(self) -> &'static str {
        match self {
            Self::NoKey => "this process has no key to secrets; give it one in PINFOLD_SECRETS_KEY",
            Self::Missing => {
                "the key to this installation's secrets is missing: put its file secrets.key back into \
                 the data directory, or the key into PINFOLD_SECRETS_KEY, and start the server again. If \
                 it is lost, delete all secrets of all projects and start again for a new one"
            }
            Self::Other => {
                "this installation's secrets are sealed under another key than the server has: put that \
                 one's file secrets.key back into the data directory, or the key into \
                 PINFOLD_SECRETS_KEY, and start the server again. If it is lost, delete all secrets of \
                 all projects and start again"
            }
            Self::Broken => {
                "the file secrets.key in the data directory cannot be used, the server's log says why: \
                 mend it, or put the key into PINFOLD_SECRETS_KEY, and start the server again"
            }
            Self::Unknown => {
                "this installation's secrets are sealed in a way that this version of Pinfold does not \
                 know: a newer one did it, or the database is damaged"
            }
        }
    }

    fn error(self) -> Error {
        Error::new(Code::SecretsLocked, self.message())
    }
}

impl Vault {
    /// Finds or makes the key. A wrong or missing one locks the vault and loses nothing: the server
    /// serves all else.
    pub(crate) async fn open(key: &SecretsKey, store: Store) -> Result<Self> {
        let sealed = store.secrets().last_sealed().await?;
        let sealed_under = sealed.as_deref().map(key_id);
        let found = match key {
            SecretsKey::Absent => Err(Locked::NoKey),
            SecretsKey::Given(key) => Ok(key.clone()),
            SecretsKey::File(path) => from_file(path.clone(), sealed_under.is_some()).await?,
        };
        let seal = found.and_then(|key| {
            let seal = Seal::new(&key);
            match sealed_under {
                Some(Err(_)) => Err(Locked::Unknown),
                Some(Ok(id)) if id != seal.id() => Err(Locked::Other),
                Some(Ok(_)) | None => Ok(seal),
            }
        });
        match &seal {
            Err(locked) if *locked != Locked::NoKey => {
                tracing::error!(reason = locked.message(), "secrets are locked");
            }
            _ => {}
        }
        Ok(Self {
            store,
            seal,
            cache: SecretCache::default(),
        })
    }

    /// Seals and stores; `None` where another secret has the name or the project has no room.
    pub(super) async fn put(&self, secret: &Secret, value: &SecretValue) -> Result<Option<Secret>> {
        let sealed = self.key()?.seal(secret, value)?;
        let secrets = self.store.secrets();
        let put = secrets.put(secret, &sealed, limits::SECRETS_MAX).await;
        // Also after an error: it may have been done all the same.
        self.forget(&secret.project, &secret.name);
        Ok(put?)
    }

    /// Makes a change take effect at once.
    pub(super) fn forget(&self, project: &ProjectId, name: &str) {
        self.cache.forget(project, name);
    }

    /// The value of a project's secret as it is now, for the egress proxy and for the
    /// environment of sandboxes that name it; `None` where there is
    /// no such secret: a request that should have had it is refused.
    ///
    /// # Errors
    /// `secrets_locked` without the right key, `internal` for a value that was tampered with.
    pub(crate) async fn value(
        &self,
        project: &ProjectId,
        name: &str,
    ) -> Result<Option<SecretValue>> {
        if let Some(value) = self.cache.get(project, name, Instant::now()) {
            return Ok(Some(value));
        }
        let generation = self.cache.generation();
        let Some((secret, sealed)) = self.store.secrets().sealed(project, name).await? else {
            return Ok(None);
        };
        let value = self.key()?.open(&secret, &sealed).map_err(not_opened)?;
        let now = Instant::now();
        self.cache
            .keep(project, name, value.clone(), now, generation);
        Ok(Some(value))
    }

    /// Seals what is no secret of a project's and is kept elsewhere. `about` has to say whose it is and
    /// what for: nothing else opens it.
    pub(super) fn seal(&self, about: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        self.key()?.seal_bytes(about, plain)
    }

    pub(super) fn open_sealed(&self, about: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.key()?.open_bytes(about, sealed).map_err(not_opened)
    }

    /// Stands for `digest` where a copy of the database may be read: without the master key it cannot be
    /// told from chance. `about` has no NUL; `None` where this process has no key.
    pub(crate) fn keyed(&self, about: &[&str], digest: &[u8; 32]) -> Option<[u8; 32]> {
        let seal = self.seal.as_ref().ok()?;
        Some(seal.keyed(about, digest))
    }

    fn key(&self) -> Result<&Seal> {
        self.seal.as_ref().map_err(|locked| locked.error())
    }
}

fn not_opened(error: OpenError) -> Error {
    match error {
        OpenError::OtherKey => Locked::Other.error(),
        OpenError::Form | OpenError::Forged => Error::internal(error),
    }
}

/// The key in the file. One that is missing is made only where nothing needs the old one.
async fn from_file(
    path: std::path::PathBuf,
    anything_sealed: bool,
) -> Result<Result<MasterKey, Locked>> {
    let work = move || match MasterKey::read(&path) {
        Ok(None) if anything_sealed => Ok(Err(Locked::Missing)),
        Ok(None) => MasterKey::generate().keep(&path).map(Ok),
        Ok(Some(key)) => Ok(Ok(key)),
        Err(error) => Err(error),
    };
    match tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
    {
        Ok(found) => Ok(found),
        Err(error) => {
            tracing::error!(error = chain(&error), "the file of the secrets' key");
            Ok(Err(Locked::Broken))
        }
    }
}

#[cfg(test)]
mod tests;
