//! SQL of callers on the database of an axon.
//!
//! One request at a time on each database, and few at once on this machine, of which a project has only a
//! part: who has slow ones holds up nobody else.

use std::time::Duration;

use pinfold_model::{AxonId, Code, Ctx, Error, Result, limits};
use pinfold_sql::{Answer, SqlError, Statement};

use super::live;
use crate::Engine;
use crate::engine::Shared;
use crate::turns::Turn;
use crate::usecase::Note;

/// How long a request waits for its turns.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a batch ended.
#[derive(Debug)]
pub enum SqlBatch {
    /// All of it happened.
    Done(Vec<Answer>),
    /// Nothing of it happened, because of the statement at that place.
    Failed { at: usize, error: Error },
}

impl Engine {
    /// Runs one statement on the axon's database, as a transaction of its own.
    ///
    /// # Errors
    /// `sql_failed`: then nothing has changed; `axon_deleted`; `unavailable` where others' requests take too
    /// long.
    pub async fn query_axon(&self, ctx: &Ctx, id: &AxonId, statement: Statement) -> Result<Answer> {
        match self.sql(ctx, "axon.query", id, vec![statement]).await? {
            SqlBatch::Done(mut answers) => {
                let missing = || Error::internal("a statement without an answer");
                answers.pop().ok_or_else(missing)
            }
            SqlBatch::Failed { error, .. } => Err(error),
        }
    }

    /// Runs statements in their order, in one transaction.
    ///
    /// # Errors
    /// Those that no statement is the reason of.
    pub async fn batch_axon(
        &self,
        ctx: &Ctx,
        id: &AxonId,
        statements: Vec<Statement>,
    ) -> Result<SqlBatch> {
        self.sql(ctx, "axon.batch", id, statements).await
    }

    async fn sql(
        &self,
        ctx: &Ctx,
        action: &'static str,
        id: &AxonId,
        statements: Vec<Statement>,
    ) -> Result<SqlBatch> {
        let note = Note::new(action);
        note.about(id.as_str());
        note.fact("statements", statements.len());
        self.audited_behind(ctx, &note, async {
            let turns = tokio::time::timeout(PATIENCE, turns(self.shared(), ctx, id));
            let turns = turns.await.map_err(|_| {
                let text = "other statements are still running; try again shortly";
                Error::new(Code::Unavailable, text)
            })?;
            // In its turn: a delete waits for it, and what comes behind the delete sees that.
            live(self.shared(), &ctx.principal.project, id).await?;
            let others = self.store().axons().live_of(&ctx.principal.project).await?;
            let (databases, id) = (self.shared().databases.clone(), id.clone());
            let run = move || {
                // Kept to the end of the work, even if nobody waits for it any more.
                let _turns = turns;
                let together = limits::AXON_DATABASES_OF_PROJECT_MAX_BYTES;
                databases.beside(&id, &others, together).batch(&statements)
            };
            let ended = tokio::task::spawn_blocking(run).await;
            told(ended.map_err(Error::internal)?)
        })
        .await
    }
}

/// Removes the database of an axon that is deleted, behind whatever runs on it.
pub(super) async fn remove(shared: &Shared, id: &AxonId) -> Result<()> {
    let turn = shared.axons.databases.take(id.clone()).await;
    let database = shared.databases.of(id);
    let remove = move || {
        let _turn = turn;
        database.remove()
    };
    let removed = tokio::task::spawn_blocking(remove).await;
    removed.map_err(Error::internal)?.map_err(Error::internal)
}

/// The axon's first: who waits for that takes nothing from anybody.
async fn turns(shared: &Shared, ctx: &Ctx, id: &AxonId) -> (Turn, Turn) {
    let of_axon = shared.axons.databases.take(id.clone()).await;
    let project = ctx.principal.project.clone();
    (of_axon, shared.axons.projects.take(project).await)
}

fn told(ended: Result<Vec<Answer>, (usize, SqlError)>) -> Result<SqlBatch> {
    let (at, error) = match ended {
        Ok(answers) => return Ok(SqlBatch::Done(answers)),
        Err(failed) => failed,
    };
    match error {
        SqlError::Failed(_)
        | SqlError::Denied(_)
        | SqlError::Time(_)
        | SqlError::Memory(_)
        | SqlError::Full(_) => {
            let error = Error::new(Code::SqlFailed, error.to_string());
            Ok(SqlBatch::Failed { at, error })
        }
        // No one statement is the reason.
        SqlError::TooMany(_) => Err(Error::new(Code::SqlFailed, error.to_string())),
        SqlError::Unbounded(_) => Err(Error::new(
            Code::Unsupported,
            "this server cannot bound what SQL takes, so it runs none",
        )
        .because(error)),
        SqlError::Damaged(_) | SqlError::Unreachable(_) | SqlError::File(_) => {
            Err(Error::internal(error))
        }
    }
}
