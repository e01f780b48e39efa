//! Use cases of code contexts: interpreters that keep their variables between runs of code.
//!
//! ```text
//! context --has--> interpreter: a command that waits (Purpose::Interpreter)
//! run     --is---> relay: a command that hands the code over and prints events (Purpose::CodeRun)
//! ```
//! Both are commands, so what holds for commands holds for runs of code: each is started exactly
//! once, its events are its journal, and neither a reader nor a server that goes away touches it.
//! The programs inside the sandbox see to timeouts and interrupts by themselves.

mod event;
mod interpreter;
mod programs;
mod reader;
mod run;

use std::time::Duration;

use pinfold_model::code::{validate_idle_timeout, validate_timeout};
use pinfold_model::command::CancelMode;
use pinfold_model::{
    Code, CodeContext, CodeContextId, CodeLanguage, Ctx, Error, Result, Sandbox, SandboxId, limits,
};
use pinfold_store::{Claim, Idempotency, Inserted, NewContext, StoreError};
use serde::Serialize;

use crate::clock::later;
use crate::commands::absolute;
use crate::files::{FileAt, require_directory};
use crate::live::Lease;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

pub use event::{CodeCompletion, CodeEnding, CodeError, CodeEvent, CodeOutput, RejectedForm};
pub use reader::CodeReader;
pub use run::{CodeRun, CodeRunState, RunCode};

pub(crate) use interpreter::{note_end, reconcile};

/// Which context to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreateCodeContext {
    pub language: CodeLanguage,
    /// Where code begins, from the sandbox's working directory on, which is also the default.
    pub cwd: Option<String>,
    /// A directory that `cwd` has to be in, as in [`FileAt::within`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd_within: Option<String>,
    /// For runs that name none: 1 ms to 10 minutes, 60 s unless given.
    pub timeout: Option<Duration>,
    /// How long the context is kept unused: 1 minute to 7 days, 4 hours unless given.
    pub idle_timeout: Option<Duration>,
}

impl CreateCodeContext {
    #[must_use]
    pub const fn new(language: CodeLanguage) -> Self {
        Self {
            language,
            cwd: None,
            cwd_within: None,
            timeout: None,
            idle_timeout: None,
        }
    }

    fn validate(&self) -> Result<()> {
        self.timeout.map_or(Ok(()), validate_timeout)?;
        self.idle_timeout.map_or(Ok(()), validate_idle_timeout)?;
        check_cwd(self.cwd.as_deref())
    }
}

/// The same bound for every path; whether it exists shows when the interpreter starts.
fn check_cwd(cwd: Option<&str>) -> Result<()> {
    match cwd {
        Some(cwd) if cwd.is_empty() || cwd.len() > limits::PATH_MAX_BYTES || cwd.contains('\0') => {
            Err(Error::invalid("cwd", "cwd is a path of 1 to 4,095 bytes"))
        }
        _ => Ok(()),
    }
}

/// Refuses a directory that is not where it has to be, or is none. What runs in the sandbox may put
/// another one in its place at once, and code may go anywhere by itself: this is for callers who err.
async fn check_within(lease: &Lease, cwd: Option<&str>, within: Option<&str>) -> Result<()> {
    match (cwd, within) {
        (Some(cwd), Some(within)) => require_directory(lease, FileAt::within(cwd, within)).await,
        _ => Ok(()),
    }
}

impl Engine {
    /// Makes a context and starts its interpreter.
    ///
    /// # Errors
    /// [`Code::UnsupportedCodeLanguage`] where the sandbox has no interpreter for the language;
    /// [`Code::QuotaExceeded`] for more than 32 contexts.
    pub async fn create_code_context(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: CreateCodeContext,
        idempotency: Option<&str>,
    ) -> Result<Accepted<CodeContext>> {
        let note = Note::new("code.context_create");
        self.audited(ctx, &note, async {
            request.validate()?;
            let operation = "code.context_create";
            let claim = self.claim_in(ctx, sandbox, operation, idempotency, &request)?;
            let accepted = match self.known_context(ctx, claim.as_ref()).await? {
                Some(context) => Accepted {
                    value: context,
                    origin: Origin::Replay,
                },
                None => self.make_context(ctx, sandbox, &request, claim).await?,
            };
            note.about(accepted.value.id.as_str());
            note.of(&accepted.value.project);
            note.fact("sandbox", sandbox.as_str());
            note.fact("language", request.language.as_str());
            Ok(accepted)
        })
        .await
    }

    pub async fn get_code_context(&self, ctx: &Ctx, id: &CodeContextId) -> Result<CodeContext> {
        self.timed(ctx, "code.context_get", self.any_context(ctx, id))
            .await
    }

    /// The contexts of one sandbox, oldest first; default ones too. At most 32.
    pub async fn list_code_contexts(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
    ) -> Result<Vec<CodeContext>> {
        self.timed(ctx, "code.context_list", async {
            still_there(&self.any_sandbox(ctx, sandbox).await?)?;
            let mut contexts = self.store().code_contexts().list(sandbox).await?;
            contexts.retain(|context| context.expires_at > self.now());
            Ok(contexts)
        })
        .await
    }

    /// Ends the context, its interpreter, everything that started, and the runs under way; answers
    /// with what it was.
    pub async fn delete_code_context(&self, ctx: &Ctx, id: &CodeContextId) -> Result<CodeContext> {
        let note = Note::new("code.context_delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let context = self.any_context(ctx, id).await?;
            note.of(&context.project);
            // Recorded first: what a crash leaves behind is ended by the reconciler.
            if !self.store().code_contexts().delete(id, self.now()).await? {
                return Err(no_context(id));
            }
            interpreter::end(self.shared(), &context, CancelMode::Force).await?;
            Ok(context)
        })
        .await
    }

    /// Gives the context a fresh interpreter: its variables are gone, the runs under way end.
    pub async fn restart_code_context(&self, ctx: &Ctx, id: &CodeContextId) -> Result<CodeContext> {
        let note = Note::new("code.context_restart");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let context = self.any_context(ctx, id).await?;
            note.of(&context.project);
            let lease = self.lease(ctx, &context.sandbox).await?;
            interpreter::end(self.shared(), &context, CancelMode::Force).await?;
            self.with_interpreter(&lease, context).await
        })
        .await
    }

    /// A context that has not ended, whoever's sandbox it is in.
    pub(crate) async fn any_context(&self, ctx: &Ctx, id: &CodeContextId) -> Result<CodeContext> {
        match self.store().code_contexts().get(id).await? {
            Some(context)
                if self.sees(ctx, &context.project).await? && context.expires_at > self.now() =>
            {
                still_there(&self.any_sandbox(ctx, &context.sandbox).await?)?;
                Ok(context)
            }
            _ => Err(no_context(id)),
        }
    }

    /// What an earlier request with the same key made.
    async fn known_context(
        &self,
        ctx: &Ctx,
        claim: Option<&Idempotency>,
    ) -> Result<Option<CodeContext>> {
        match self.known_by(claim).await? {
            Some(id) => {
                let id = id.parse().map_err(Error::internal)?;
                Ok(Some(self.any_context(ctx, &id).await?))
            }
            None => Ok(None),
        }
    }

    /// The id of the thing that an earlier request with the same key made.
    async fn known_by(&self, claim: Option<&Idempotency>) -> Result<Option<String>> {
        let Some(claim) = claim else {
            return Ok(None);
        };
        match self.store().idempotency().find(claim, self.now()).await? {
            Some(Claim::Replay { resource_id }) => Ok(Some(resource_id)),
            Some(Claim::Conflict) => Err(StoreError::IdempotencyConflict.into()),
            Some(Claim::New) | None => Ok(None),
        }
    }

    /// The interpreter comes first, so that a context that cannot work is never recorded. One that
    /// is left without a context is ended by the reconciler.
    async fn make_context(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: &CreateCodeContext,
        claim: Option<Idempotency>,
    ) -> Result<Accepted<CodeContext>> {
        let lease = self.lease(ctx, sandbox).await?;
        let within = request.cwd_within.as_deref();
        check_within(&lease, request.cwd.as_deref(), within).await?;
        let context = self.new_context(lease.sandbox(), request, false);
        let context = self.first_interpreter(&lease, context).await?;
        let inserted = self
            .store()
            .code_contexts()
            .insert(&context, claim.as_ref())
            .await;
        if let Ok(NewContext::Inserted(Inserted::New(context))) = inserted {
            return Ok(Accepted {
                value: context,
                origin: Origin::New,
            });
        }
        interpreter::end(self.shared(), &context, CancelMode::Force).await?;
        match inserted? {
            NewContext::Inserted(inserted) => Ok(Accepted {
                value: inserted.into_inner(),
                origin: Origin::Replay,
            }),
            NewContext::NotInserted => Err(too_many_contexts()),
        }
    }

    /// The context for runs that name none, made where there is none yet.
    pub(crate) async fn default_context(
        &self,
        sandbox: &Sandbox,
        language: CodeLanguage,
    ) -> Result<CodeContext> {
        let contexts = self.store().code_contexts();
        let find = || contexts.default_of(&sandbox.id, language);
        while let Some(context) = find().await? {
            let now = self.now();
            if context.expires_at > now {
                return Ok(context);
            }
            // Unless it has been used, or deleted, since: then what is there now counts.
            if contexts.delete_expired(&context.id, now).await? {
                interpreter::end(self.shared(), &context, CancelMode::Force).await?;
            }
        }
        let context = self.new_context(sandbox, &CreateCodeContext::new(language), true);
        match contexts.insert(&context, None).await? {
            NewContext::Inserted(inserted) => Ok(inserted.into_inner()),
            // Another run was faster, or there is no room.
            NewContext::NotInserted => find().await?.ok_or_else(too_many_contexts),
        }
    }

    fn new_context(
        &self,
        sandbox: &Sandbox,
        request: &CreateCodeContext,
        is_default: bool,
    ) -> CodeContext {
        let workdir = &sandbox.spec.workdir;
        let base = request.cwd_within.as_ref().unwrap_or(workdir);
        let asked = request.cwd.as_deref().map(|cwd| absolute(base, cwd));
        let idle_timeout = request.idle_timeout.unwrap_or(limits::CODE_IDLE_DEFAULT);
        let now = self.now();
        CodeContext {
            id: CodeContextId::generate(),
            sandbox: sandbox.id.clone(),
            project: sandbox.project.clone(),
            language: request.language,
            cwd: asked.clone().unwrap_or_else(|| workdir.clone()),
            asked_cwd: asked,
            timeout: request.timeout.unwrap_or(limits::CODE_TIMEOUT_DEFAULT),
            idle_timeout,
            is_default,
            generation: 0,
            interpreter: None,
            created_at: now,
            last_used_at: now,
            expires_at: later(now, idle_timeout),
        }
    }
}

/// Contexts end with their sandbox; one that is suspended or stopped keeps them.
fn still_there(sandbox: &Sandbox) -> Result<()> {
    if sandbox.state.is_live() {
        return Ok(());
    }
    sandbox.state.require_running()
}

fn no_context(id: &CodeContextId) -> Error {
    Error::new(Code::CodeContextNotFound, format!("no code context {id}"))
}

fn too_many_contexts() -> Error {
    let max = limits::CODE_CONTEXTS_MAX;
    Error::new(
        Code::QuotaExceeded,
        format!("a sandbox may have {max} code contexts at once; delete one first"),
    )
    .detail("quota", "code_contexts")
    .detail("limit", max)
}
