//! Commands: their records and their one-way progress. How a command ended is written once.

use pinfold_model::collect::CollectReport;
use pinfold_model::command::CancelMode;
use pinfold_model::{Command, CommandId, CommandState, SandboxId, Time};

use crate::db::{Db, Query, Sql, statements, to_json};
use crate::error::Result;
use crate::idempotency::{Idempotency, Inserted};
use crate::page::{Page, PageRequest};

mod insert;
mod row;

use row::{bind_state, cancel_text, rank, to_command};

/// Repository of commands.
#[derive(Debug, Clone, Copy)]
pub struct Commands<'a> {
    db: &'a Db,
}

/// A step forward in a command's life, with what is known by then. What is `None` here stays as it
/// is, so a start that was noted is kept by the ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub state: CommandState,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    /// The last record of the journal, for an ending.
    pub last_seq: Option<u64>,
    pub truncated: bool,
}

/// What becomes of commands whose end nobody reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Their sandbox was destroyed.
    Killed,
    /// Nobody knows.
    Lost,
}

impl Unfinished {
    #[must_use]
    pub const fn state(self) -> CommandState {
        match self {
            Self::Killed => CommandState::Killed,
            Self::Lost => CommandState::Lost,
        }
    }
}

impl Progress {
    #[must_use]
    pub const fn new(state: CommandState) -> Self {
        Self {
            state,
            started_at: None,
            ended_at: None,
            last_seq: None,
            truncated: false,
        }
    }

    /// The process runs since `at`.
    #[must_use]
    pub const fn running(at: Time) -> Self {
        let mut step = Self::new(CommandState::Running);
        step.started_at = Some(at);
        step
    }

    /// The command ended so, at `at`.
    #[must_use]
    pub const fn ended(state: CommandState, at: Time) -> Self {
        let mut step = Self::new(state);
        step.ended_at = Some(at);
        step
    }
}

macro_rules! columns {
    () => {
        "id, sandbox_id, project_id, spec, state, exit_kind, exit_value, cancel, created_at, \
         started_at, ended_at, last_seq, truncated, purpose, context_id"
    };
}

statements! {
    INSERT = Sql::both(concat!(
        "INSERT INTO commands (", columns!(), ", rank) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (id) DO NOTHING"
    ));
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM commands WHERE id = $1"));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM commands \
         WHERE sandbox_id = $1 AND purpose = 'command' AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    UNFINISHED = Sql::both(concat!(
        "SELECT ", columns!(), " FROM commands WHERE sandbox_id = $1 AND rank < 3 \
         ORDER BY created_at, id"
    ));
    ALL_UNFINISHED = Sql::both(concat!(
        "SELECT ", columns!(), " FROM commands WHERE rank < 3 ORDER BY sandbox_id, created_at, id"
    ));
    // $2 state, $3 $4 exit status, $5 rank, $6 started, $7 ended, $8 last_seq, $9 truncated
    ADVANCE = Sql::both(concat!(
        "UPDATE commands SET state = $2, exit_kind = $3, exit_value = $4, rank = $5, \
             started_at = COALESCE($6, started_at), \
             ended_at = COALESCE($7, ended_at), \
             last_seq = COALESCE($8, last_seq), \
             truncated = CASE WHEN CAST($9 AS BIGINT) = 1 THEN 1 ELSE truncated END \
         WHERE id = $1 AND rank < $5 \
         RETURNING ", columns!()
    ));
    // A forced cancel is never weakened to a graceful one.
    CANCEL = Sql::both(concat!(
        "UPDATE commands SET cancel = CASE WHEN cancel = 'force' THEN cancel ELSE $2 END \
         WHERE id = $1 AND rank < 3 RETURNING ", columns!()
    ));
    PUT_COLLECT = Sql::both(
        "INSERT INTO command_collects (command_id, report) VALUES ($1, $2) \
         ON CONFLICT (command_id) DO NOTHING",
    );
    GET_COLLECT = Sql::both("SELECT report FROM command_collects WHERE command_id = $1");
    LOSE = Sql::both(
        "UPDATE commands SET state = $3, exit_kind = NULL, exit_value = NULL, rank = 3, \
             ended_at = $2 \
         WHERE sandbox_id = $1 AND rank < 3",
    );
}

impl<'a> Commands<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new command, in one transaction with the claim of the request's idempotency key.
    /// The same command id again is a replay and inserts nothing.
    ///
    /// # Errors
    /// [`IdempotencyConflict`]; [`CommandConflict`] where the id stands for another specification
    /// or sandbox; [`NotFound`] where there is no such sandbox.
    ///
    /// [`IdempotencyConflict`]: crate::StoreError::IdempotencyConflict
    /// [`CommandConflict`]: crate::StoreError::CommandConflict
    /// [`NotFound`]: crate::StoreError::NotFound
    pub async fn insert(
        &self,
        command: &Command,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Command>> {
        match claim {
            None => insert::by_id(self.db, command).await,
            Some(claim) => {
                let mut tx = self.db.begin().await?;
                let inserted = insert::claimed(&mut tx, command, claim).await?;
                tx.commit().await?;
                Ok(inserted)
            }
        }
    }

    pub async fn get(&self, id: &CommandId) -> Result<Option<Command>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_command).transpose()
    }

    /// What people started, newest first; runs of code and interpreters are no part of it.
    pub async fn list(&self, sandbox: &SandboxId, page: &PageRequest) -> Result<Page<Command>> {
        let (at, id) = page.after();
        let list = LIST.bind(sandbox.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_command)
    }

    /// What has not ended in one sandbox, oldest first: as many as the engine admits at once.
    pub async fn list_unfinished(&self, sandbox: &SandboxId) -> Result<Vec<Command>> {
        let rows = self.db.rows(UNFINISHED.bind(sandbox.as_str())).await?;
        rows.iter().map(to_command).collect()
    }

    /// What has not ended anywhere, for the reconciler at start: by sandbox, then oldest first.
    pub async fn list_unfinished_all(&self) -> Result<Vec<Command>> {
        let rows = self.db.rows(ALL_UNFINISHED.query()).await?;
        rows.iter().map(to_command).collect()
    }

    /// Takes a step forward: the command after it, or `None` where it is there already, is further,
    /// has ended or does not exist. An ending is thus written once and never changes.
    pub async fn advance(&self, id: &CommandId, step: &Progress) -> Result<Option<Command>> {
        let row = self.db.change(bind_step(id, step)).await?;
        row.as_ref().map(to_command).transpose()
    }

    /// Takes many steps together, all or none; each that is behind what is known changes nothing.
    pub async fn advance_all(&self, steps: &[(CommandId, Progress)]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for (id, step) in steps {
            tx.row(bind_step(id, step)).await?;
        }
        tx.commit().await
    }

    /// Notes that a cancel was asked for: the command after it, or `None` where it has ended.
    pub async fn set_cancel(&self, id: &CommandId, mode: CancelMode) -> Result<Option<Command>> {
        let cancel = CANCEL.bind(id.as_str()).bind(cancel_text(mode));
        let row = self.db.change(cancel).await?;
        row.as_ref().map(to_command).transpose()
    }

    /// Notes what was collected behind a command; the first report stays.
    pub async fn put_collect(&self, id: &CommandId, report: &CollectReport) -> Result<()> {
        let put = PUT_COLLECT.bind(id.as_str()).bind(to_json(report));
        self.db.execute(put).await?;
        Ok(())
    }

    pub async fn collect(&self, id: &CommandId) -> Result<Option<CollectReport>> {
        let row = self.db.row(GET_COLLECT.bind(id.as_str())).await?;
        row.map(|row| row.json("report")).transpose()
    }

    /// Ends everything unfinished in a sandbox, as `killed` or `lost`; answers how many commands
    /// that were.
    pub async fn end_unfinished(
        &self,
        sandbox: &SandboxId,
        how: Unfinished,
        at: Time,
    ) -> Result<u64> {
        let end = LOSE.bind(sandbox.as_str()).bind(at);
        self.db.execute(end.bind(how.state().as_str())).await
    }
}

fn bind_step(id: &CommandId, step: &Progress) -> Query {
    bind_state(ADVANCE.bind(id.as_str()), step.state)
        .bind(rank(step.state))
        .bind(step.started_at)
        .bind(step.ended_at)
        .bind(step.last_seq)
        .bind(i64::from(step.truncated))
}
