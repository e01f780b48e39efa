//! Code contexts: which interpreters a sandbox has, and until when.

use pinfold_model::{CodeContext, CodeContextId, CodeLanguage, CommandId, SandboxId, Time, limits};

use crate::db::{Db, Query, Row, Sql, statements};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};

/// Repository of code contexts. What has been deleted is found by nothing here.
#[derive(Debug, Clone, Copy)]
pub struct CodeContexts<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, sandbox_id, project_id, language, cwd, asked_cwd, timeout_ms, idle_timeout_ms, \
         is_default, generation, interpreter_id, created_at, last_used_at, expires_at"
    };
}

statements! {
    // One that is the default already, or one context too many, makes no row.
    INSERT = Sql::both(concat!(
        "INSERT INTO code_contexts (", columns!(), ") \
         SELECT $1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT), \
             CAST($9 AS BIGINT), CAST($10 AS BIGINT), $11, CAST($12 AS BIGINT), \
             CAST($13 AS BIGINT), CAST($14 AS BIGINT) \
         WHERE (SELECT COUNT(*) FROM code_contexts \
                WHERE sandbox_id = $2 AND deleted_at IS NULL) < CAST($15 AS BIGINT) \
         ON CONFLICT DO NOTHING RETURNING id"
    ));
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM code_contexts WHERE id = $1 AND deleted_at IS NULL"
    ));
    GET_ANY = Sql::both(concat!("SELECT ", columns!(), " FROM code_contexts WHERE id = $1"));
    DEFAULT = Sql::both(concat!(
        "SELECT ", columns!(), " FROM code_contexts \
         WHERE sandbox_id = $1 AND language = $2 AND is_default = 1 AND deleted_at IS NULL"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM code_contexts \
         WHERE sandbox_id = $1 AND deleted_at IS NULL ORDER BY created_at, id"
    ));
    EXPIRED = Sql::both(concat!(
        "SELECT ", columns!(), " FROM code_contexts \
         WHERE expires_at <= $1 AND deleted_at IS NULL ORDER BY expires_at LIMIT 500"
    ));
    // Of two that begin the same generation, the second changes nothing.
    INTERPRETER = Sql::both(
        "UPDATE code_contexts SET generation = $3, interpreter_id = $2 \
         WHERE id = $1 AND generation < $3 AND deleted_at IS NULL",
    );
    // Time only moves forward.
    TOUCH = Sql::both(
        "UPDATE code_contexts \
         SET last_used_at = CASE WHEN last_used_at > $2 THEN last_used_at ELSE $2 END, \
             expires_at = CASE WHEN expires_at > $3 THEN expires_at ELSE $3 END \
         WHERE id = $1 AND deleted_at IS NULL",
    );
    DELETE = Sql::both(
        "UPDATE code_contexts SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
    );
    DELETE_EXPIRED = Sql::both(
        "UPDATE code_contexts SET deleted_at = $2 \
         WHERE id = $1 AND deleted_at IS NULL AND expires_at <= $2",
    );
    // One that never had an interpreter was never there for anybody.
    REMOVE_UNUSED = Sql::both("DELETE FROM code_contexts WHERE id = $1 AND generation = 0");
}

/// What became of a new context.
// One at a time, on its way from a query to its caller.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewContext {
    Inserted(Inserted<CodeContext>),
    /// The language's default context is there already, or the sandbox has as many as it may.
    NotInserted,
}

impl<'a> CodeContexts<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new context, in one transaction with the claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`]; [`StoreError::NotFound`] without its sandbox, or where
    /// the context that the key made has been deleted.
    pub async fn insert(
        &self,
        context: &CodeContext,
        claim: Option<&Idempotency>,
    ) -> Result<NewContext> {
        let mut tx = self.db.begin().await?;
        if let Some(claim) = claim {
            match claim_in(&mut tx, claim, context.id.as_str(), context.created_at).await? {
                Claim::New => {}
                Claim::Conflict => return Err(StoreError::IdempotencyConflict),
                Claim::Replay { resource_id } => {
                    let row = tx.row(GET.bind(resource_id.as_str())).await?;
                    let row =
                        row.ok_or_else(|| StoreError::not_found(Thing::CodeContext, resource_id))?;
                    let known = Inserted::Replay(to_context(&row)?);
                    return Ok(NewContext::Inserted(known));
                }
            }
        }
        let inserted = tx.row(bind_context(context)).await;
        let inserted =
            inserted.map_err(|e| e.on_missing(Thing::Sandbox, context.sandbox.as_str()))?;
        if inserted.is_none() {
            return Ok(NewContext::NotInserted);
        }
        tx.commit().await?;
        Ok(NewContext::Inserted(Inserted::New(context.clone())))
    }

    pub async fn get(&self, id: &CodeContextId) -> Result<Option<CodeContext>> {
        self.one(GET.bind(id.as_str())).await
    }

    /// The same, also of one that has been deleted: runs of it can still be read.
    pub async fn get_any(&self, id: &CodeContextId) -> Result<Option<CodeContext>> {
        self.one(GET_ANY.bind(id.as_str())).await
    }

    pub async fn default_of(
        &self,
        sandbox: &SandboxId,
        language: CodeLanguage,
    ) -> Result<Option<CodeContext>> {
        let default = DEFAULT.bind(sandbox.as_str()).bind(language.as_str());
        self.one(default).await
    }

    /// All of one sandbox, oldest first: at most [`limits::CODE_CONTEXTS_MAX`].
    pub async fn list(&self, sandbox: &SandboxId) -> Result<Vec<CodeContext>> {
        let rows = self.db.rows(LIST.bind(sandbox.as_str())).await?;
        rows.iter().map(to_context).collect()
    }

    /// Those whose time is over, at most 500.
    pub async fn list_expired(&self, now: Time) -> Result<Vec<CodeContext>> {
        let rows = self.db.rows(EXPIRED.bind(now)).await?;
        rows.iter().map(to_context).collect()
    }

    /// Notes that `interpreter` begins a generation; whether it was the first to.
    pub async fn set_interpreter(
        &self,
        id: &CodeContextId,
        interpreter: &CommandId,
        generation: u32,
    ) -> Result<bool> {
        let set = INTERPRETER.bind(id.as_str()).bind(interpreter.as_str());
        Ok(self.db.execute(set.bind(generation)).await? > 0)
    }

    /// Notes a use, and until when the context lives without another.
    pub async fn touch(&self, id: &CodeContextId, at: Time, expires_at: Time) -> Result<()> {
        let touch = TOUCH.bind(id.as_str()).bind(at).bind(expires_at);
        self.db.execute(touch).await?;
        Ok(())
    }

    /// Whether it was there.
    pub async fn delete(&self, id: &CodeContextId, at: Time) -> Result<bool> {
        Ok(self.db.execute(DELETE.bind(id.as_str()).bind(at)).await? > 0)
    }

    /// The same where its time is over at `at`.
    pub async fn delete_expired(&self, id: &CodeContextId, at: Time) -> Result<bool> {
        let delete = DELETE_EXPIRED.bind(id.as_str()).bind(at);
        Ok(self.db.execute(delete).await? > 0)
    }

    /// Takes back a context that never had an interpreter.
    pub async fn remove_unused(&self, id: &CodeContextId) -> Result<()> {
        self.db.execute(REMOVE_UNUSED.bind(id.as_str())).await?;
        Ok(())
    }

    async fn one(&self, query: Query) -> Result<Option<CodeContext>> {
        let row = self.db.row(query).await?;
        row.as_ref().map(to_context).transpose()
    }
}

fn bind_context(context: &CodeContext) -> Query {
    INSERT
        .bind(context.id.as_str())
        .bind(context.sandbox.as_str())
        .bind(context.project.as_str())
        .bind(context.language.as_str())
        .bind(context.cwd.as_str())
        .bind(context.asked_cwd.as_deref())
        .bind(millis(context.timeout))
        .bind(millis(context.idle_timeout))
        .bind(i64::from(context.is_default))
        .bind(context.generation)
        .bind(context.interpreter.as_ref().map(CommandId::as_str))
        .bind(context.created_at)
        .bind(context.last_used_at)
        .bind(context.expires_at)
        .bind(limits::CODE_CONTEXTS_MAX)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_context(row: &Row) -> Result<CodeContext> {
    let duration = |column| row.number(column).map(std::time::Duration::from_millis);
    Ok(CodeContext {
        id: row.parse("id")?,
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        language: row.parse("language")?,
        cwd: row.text("cwd")?,
        asked_cwd: row.opt_text("asked_cwd")?,
        timeout: duration("timeout_ms")?,
        idle_timeout: duration("idle_timeout_ms")?,
        is_default: row.int("is_default")? != 0,
        generation: row.number("generation")?,
        interpreter: row.opt_parse("interpreter_id")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        expires_at: row.time("expires_at")?,
    })
}
