//! Recording a new command exactly once.

use pinfold_model::{CodeContextId, Command};

use super::row::{bind_state, cancel_text, rank, to_command};
use super::{GET, INSERT};
use crate::db::{Db, Query, Row, Tx, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};

/// One statement, hence a transaction by itself: commands are started often.
pub(super) async fn by_id(db: &Db, command: &Command) -> Result<Inserted<Command>> {
    let inserted = db.execute(bind_command(command)).await;
    if inserted.map_err(|e| missing(e, command))? > 0 {
        return Ok(Inserted::New(command.clone()));
    }
    known(db.row(GET.bind(command.id.as_str())).await?, command)
}

pub(super) async fn claimed(
    tx: &mut Tx,
    command: &Command,
    claim: &Idempotency,
) -> Result<Inserted<Command>> {
    match claim_in(tx, claim, command.id.as_str(), command.created_at).await? {
        Claim::New => {}
        Claim::Conflict => return Err(StoreError::IdempotencyConflict),
        Claim::Replay { resource_id } => {
            let row = tx.row(GET.bind(resource_id)).await?;
            return Ok(Inserted::Replay(to_command(&row.ok_or_else(vanished)?)?));
        }
    }
    let inserted = tx.execute(bind_command(command)).await;
    if inserted.map_err(|e| missing(e, command))? > 0 {
        return Ok(Inserted::New(command.clone()));
    }
    known(tx.row(GET.bind(command.id.as_str())).await?, command)
}

/// The id was there before: a replay if it stands for the same command.
fn known(row: Option<Row>, wanted: &Command) -> Result<Inserted<Command>> {
    let known = to_command(&row.ok_or_else(vanished)?)?;
    if known.sandbox == wanted.sandbox && known.spec == wanted.spec {
        return Ok(Inserted::Replay(known));
    }
    Err(StoreError::CommandConflict {
        id: wanted.id.to_string(),
    })
}

fn missing(error: StoreError, command: &Command) -> StoreError {
    error.on_missing(Thing::Sandbox, command.sandbox.as_str())
}

fn vanished() -> StoreError {
    StoreError::corrupt("id", "a recorded command vanished")
}

fn bind_command(command: &Command) -> Query {
    let insert = INSERT
        .bind(command.id.as_str())
        .bind(command.sandbox.as_str())
        .bind(command.project.as_str())
        .bind(to_json(&command.spec));
    bind_state(insert, command.state)
        .bind(command.cancel.map(cancel_text))
        .bind(command.created_at)
        .bind(command.started_at)
        .bind(command.ended_at)
        .bind(command.last_seq)
        .bind(i64::from(command.truncated))
        .bind(command.purpose.as_str())
        .bind(command.purpose.context().map(CodeContextId::as_str))
        .bind(rank(command.state))
}
