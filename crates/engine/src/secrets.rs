//! Use cases of secrets: values that go in, are sealed, and come out of no use case.
//!
//! ```text
//! put --> Vault --seal--> store          egress proxy --> Vault --> cache, else store --open--> value
//! ```
//!
//! The other way out is the environment of commands of a sandbox that was made with secrets by name
//! ([`secret_env`]): then whatever runs in it has the values.
//!
//! A secret is its project's: of one name, whoever of the project made it. It may be replaced or deleted
//! while sandboxes have credentials with it: the next request gets the new value, or is refused.

mod cache;
mod master;
mod seal;
mod setup;
mod vault;

use std::collections::BTreeMap;

use pinfold_model::secret::validate_secret_name;
use pinfold_model::{
    Code, Credential, Ctx, Error, ProjectId, Result, Secret, SecretId, SecretValue, limits,
};
use pinfold_store::{Page, PageRequest};

use crate::Engine;
use crate::engine::Shared;
use crate::usecase::Note;

pub use master::{InvalidMasterKey, MasterKey, SecretsKey};
pub(crate) use setup::{seal_setup, setup_env};
pub(crate) use vault::Vault;

/// Attempts to put one value: another one is needed only where somebody else makes or deletes the
/// same name at the same moment.
const ATTEMPTS: usize = 8;

impl Engine {
    /// Makes the secret of that name, or gives it a new value, which the next request of a sandbox
    /// gets.
    pub async fn put_secret(&self, ctx: &Ctx, name: &str, value: SecretValue) -> Result<Secret> {
        let note = Note::new("secret.put");
        self.audited(ctx, &note, async {
            validate_secret_name(name)?;
            note.about(name);
            for _ in 0..ATTEMPTS {
                let put = self.try_put(ctx, &note, name, &value).await;
                self.shared().gateway_changes.tell(&ctx.principal.project);
                if let Some(put) = put? {
                    return Ok(put);
                }
            }
            Err(Error::new(
                Code::Unavailable,
                "others are changing this secret at the same time; try again",
            ))
        })
        .await
    }

    /// Newest first, of the caller's project.
    pub async fn list_secrets(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Secret>> {
        self.timed(ctx, "secret.list", async {
            let project = &ctx.principal.project;
            Ok(self.store().secrets().list(project, page).await?)
        })
        .await
    }

    /// What is known of a secret beside its value.
    pub async fn get_secret(&self, ctx: &Ctx, name: &str) -> Result<Secret> {
        self.timed(ctx, "secret.get", async {
            validate_secret_name(name).map_err(|_| not_found(name))?;
            let project = &ctx.principal.project;
            let found = self.store().secrets().get(project, name).await?;
            found.ok_or_else(|| not_found(name))
        })
        .await
    }

    /// Deletes a secret for good. Requests of sandboxes that have a credential with it are refused from
    /// now on, until there is one of that name again.
    pub async fn delete_secret(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let note = Note::new("secret.delete");
        self.audited(ctx, &note, async {
            let project = &ctx.principal.project;
            validate_secret_name(name).map_err(|_| not_found(name))?;
            note.about(name);
            let deleted = self.store().secrets().delete(project, name).await;
            // Also after an error: it may have been done all the same.
            self.shared().vault.forget(project, name);
            self.shared().gateway_changes.tell(project);
            Ok(deleted?)
        })
        .await
    }

    /// That each credential of a request names a secret there is: a wrong name is better told now than
    /// at the first request of a sandbox.
    pub(crate) async fn check_secrets(
        &self,
        project: &ProjectId,
        credentials: Option<&[Credential]>,
    ) -> Result<()> {
        let credentials = credentials.unwrap_or_default();
        if credentials.len() > limits::CREDENTIALS_MAX {
            // Refused with the whole specification, without looking for each.
            return Ok(());
        }
        for credential in credentials {
            let name = credential.secret();
            if self.store().secrets().get(project, name).await?.is_none() {
                return Err(not_found(name));
            }
        }
        Ok(())
    }

    /// The same of secrets in a request's environment.
    pub(crate) async fn check_secret_names(
        &self,
        project: &ProjectId,
        secrets: &BTreeMap<String, String>,
    ) -> Result<()> {
        for name in secrets.values() {
            if self.store().secrets().get(project, name).await?.is_none() {
                return Err(not_found(name));
            }
        }
        Ok(())
    }

    async fn try_put(
        &self,
        ctx: &Ctx,
        note: &Note,
        name: &str,
        value: &SecretValue,
    ) -> Result<Option<Secret>> {
        let project = &ctx.principal.project;
        let secrets = self.store().secrets();
        let before = secrets.get(project, name).await?;
        if before.is_none() && secrets.count(project).await? >= limits::SECRETS_MAX {
            return Err(Error::new(
                Code::QuotaExceeded,
                format!(
                    "a project may have {} secrets; delete one of them",
                    limits::SECRETS_MAX
                ),
            ));
        }
        note.fact("replaced", before.is_some());
        let now = self.now();
        let secret = Secret {
            id: before.map_or_else(SecretId::generate, |before| before.id),
            project: project.clone(),
            name: name.to_owned(),
            created_at: now,
            updated_at: now,
            created_by: ctx.principal.key.clone(),
        };
        self.shared().vault.put(&secret, value).await
    }
}

/// Values of secrets, by the environment variables that have them. For commands in a sandbox whose
/// owner asked for that; one that is missing is `secret_not_found`.
pub(crate) async fn secret_env(
    shared: &Shared,
    project: &ProjectId,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for (variable, name) in secrets {
        let value = shared.vault.value(project, name).await?;
        let value = value.ok_or_else(|| not_found(name))?;
        env.insert(variable.clone(), value.expose().to_owned());
    }
    Ok(env)
}

fn not_found(name: &str) -> Error {
    Error::new(
        Code::SecretNotFound,
        format!("no secret {name:?} in this project"),
    )
}
