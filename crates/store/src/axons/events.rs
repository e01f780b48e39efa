//! What is published to axons, and read from them.

use pinfold_model::{AxonEvent, AxonId, NewAxonEvent, ProjectId, Time};

use super::Axons;
use crate::db::{Row, Sql, statements};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, IdempotencyKeys, Inserted, claim_in};

/// How much one axon keeps, and all of its project together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBounds {
    pub events: u64,
    pub bytes: u64,
    pub project_bytes: u64,
}

macro_rules! columns {
    () => {
        "e.axon_id, e.sequence, e.origin, e.source, e.event_type, e.payload, e.created_at"
    };
}

statements! {
    // The row is this publisher's until its transaction ends.
    TAKE = Sql::both(
        "UPDATE axons SET last_sequence = last_sequence + 1, \
             event_bytes = event_bytes + CAST($3 AS BIGINT) \
         WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL \
             AND last_sequence < CAST($4 AS BIGINT) \
             AND event_bytes + CAST($3 AS BIGINT) <= CAST($5 AS BIGINT) \
         RETURNING last_sequence",
    );
    // Publishers of one project queue up here, each at the end of its transaction.
    TAKE_ROOM = Sql::both(
        "UPDATE axon_usage SET event_bytes = event_bytes + CAST($2 AS BIGINT) \
         WHERE project_id = $1 AND event_bytes + CAST($2 AS BIGINT) <= CAST($3 AS BIGINT)",
    );
    USED_BY_PROJECT = Sql::both("SELECT event_bytes FROM axon_usage WHERE project_id = $1");
    USED = Sql::both(
        "SELECT last_sequence, event_bytes, deleted_at FROM axons WHERE project_id = $1 AND id = $2",
    );
    INSERT = Sql::both(
        "INSERT INTO axon_events \
             (axon_id, sequence, origin, source, event_type, payload, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    );
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axon_events e JOIN axons a ON a.id = e.axon_id \
         WHERE a.project_id = $1 AND a.id = $2 AND a.deleted_at IS NULL AND e.sequence = $3"
    ));
    AFTER = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axon_events e JOIN axons a ON a.id = e.axon_id \
         WHERE a.project_id = $1 AND a.id = $2 AND a.deleted_at IS NULL AND e.sequence > $3 \
         ORDER BY e.sequence LIMIT $4"
    ));
    BEFORE = Sql::both(concat!(
        "SELECT ", columns!(), " FROM axon_events e JOIN axons a ON a.id = e.axon_id \
         WHERE a.project_id = $1 AND a.id = $2 AND a.deleted_at IS NULL AND e.sequence < $3 \
         ORDER BY e.sequence DESC LIMIT $4"
    ));
}

impl Axons<'_> {
    /// Records an event under the next number, in one transaction with the claim of the request's
    /// idempotency key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::AxonDeleted`]; [`StoreError::QuotaExceeded`] where the axon
    /// or its project keeps as much as `bounds`; [`StoreError::IdempotencyConflict`]. After an error nothing is recorded.
    pub async fn publish(
        &self,
        (project, id): (&ProjectId, &AxonId),
        event: &NewAxonEvent,
        now: Time,
        bounds: EventBounds,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<AxonEvent>> {
        let mut tx = self.db.begin().await?;
        let take = TAKE
            .bind(project.as_str())
            .bind(id.as_str())
            .bind(event.bytes())
            .bind(bounds.events)
            .bind(bounds.bytes);
        let Some(row) = tx.row(take).await? else {
            drop(tx);
            // A repeated request is answered as the first was, whatever has become of the axon's room.
            return match self.replayed(project, id, claim, now).await? {
                Some(event) => Ok(Inserted::Replay(event)),
                None => Err(self.refusal(project, id, event, bounds).await?),
            };
        };
        let sequence: u64 = row.number("last_sequence")?;
        if let Some(claim) = claim {
            match claim_in(&mut tx, claim, &sequence.to_string(), now).await? {
                Claim::New => {}
                Claim::Conflict => return Err(StoreError::IdempotencyConflict),
                Claim::Replay { resource_id } => {
                    // The number goes back with the transaction.
                    drop(tx);
                    let event = self.numbered(project, id, &resource_id).await?;
                    return Ok(Inserted::Replay(event));
                }
            }
        }
        let insert = INSERT
            .bind(id.as_str())
            .bind(sequence)
            .bind(event.origin.as_str())
            .bind(event.source.as_str())
            .bind(event.event_type.as_str())
            .bind(event.payload.as_str())
            .bind(now);
        tx.execute(insert).await?;
        let room = TAKE_ROOM
            .bind(project.as_str())
            .bind(event.bytes())
            .bind(bounds.project_bytes);
        if tx.execute(room).await? == 0 {
            drop(tx);
            return Err(self.refusal(project, id, event, bounds).await?);
        }
        tx.commit().await?;
        Ok(Inserted::New(AxonEvent {
            axon: id.clone(),
            sequence,
            at: now,
            event: event.clone(),
        }))
    }

    /// Those with greater numbers, `limit` at most, in their order. Of an axon that is deleted there are
    /// none, nor of another project's.
    pub async fn events_after(
        &self,
        project: &ProjectId,
        id: &AxonId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AxonEvent>> {
        let query = AFTER.bind(project.as_str()).bind(id.as_str());
        let query = query.bind(after).bind(i64::from(limit));
        let rows = self.db.rows(query).await?;
        rows.iter().map(to_event).collect()
    }

    /// Those with smaller numbers, the greatest first.
    pub async fn events_before(
        &self,
        project: &ProjectId,
        id: &AxonId,
        before: u64,
        limit: u32,
    ) -> Result<Vec<AxonEvent>> {
        let query = BEFORE.bind(project.as_str()).bind(id.as_str());
        let query = query.bind(before).bind(i64::from(limit));
        let rows = self.db.rows(query).await?;
        rows.iter().map(to_event).collect()
    }

    async fn replayed(
        &self,
        project: &ProjectId,
        id: &AxonId,
        claim: Option<&Idempotency>,
        now: Time,
    ) -> Result<Option<AxonEvent>> {
        let Some(claim) = claim else {
            return Ok(None);
        };
        match IdempotencyKeys::new(self.db).replayed(claim, now).await? {
            None => Ok(None),
            Some(sequence) => self.numbered(project, id, &sequence).await.map(Some),
        }
    }

    async fn numbered(
        &self,
        project: &ProjectId,
        id: &AxonId,
        sequence: &str,
    ) -> Result<AxonEvent> {
        let number: i64 = sequence
            .parse()
            .map_err(|error| StoreError::corrupt("resource_id", error))?;
        let get = GET.bind(project.as_str()).bind(id.as_str()).bind(number);
        match self.db.row(get).await? {
            Some(row) => to_event(&row),
            None => Err(self.missing(project, id).await?),
        }
    }

    async fn refusal(
        &self,
        project: &ProjectId,
        id: &AxonId,
        event: &NewAxonEvent,
        bounds: EventBounds,
    ) -> Result<StoreError> {
        let used = USED.bind(project.as_str()).bind(id.as_str());
        let Some(row) = self.db.row(used).await? else {
            return Ok(StoreError::not_found(Thing::Axon, id.as_str()));
        };
        if row.opt_time("deleted_at")?.is_some() {
            return Ok(StoreError::AxonDeleted { id: id.to_string() });
        }
        let events: u64 = row.number("last_sequence")?;
        let bytes: u64 = row.number("event_bytes")?;
        let wanted = event.bytes();
        let (of, quota, limit, used, wanted) = if events >= bounds.events {
            let kind = QuotaKind::AxonEvents;
            (QuotaOf::Axon, kind, bounds.events, events, 1)
        } else if bytes.saturating_add(wanted) > bounds.bytes {
            let kind = QuotaKind::AxonEventBytes;
            (QuotaOf::Axon, kind, bounds.bytes, bytes, wanted)
        } else {
            let row = self.db.row(USED_BY_PROJECT.bind(project.as_str())).await?;
            let used = row.map_or(Ok(0), |row| row.number("event_bytes"))?;
            let kind = QuotaKind::AxonEventBytes;
            (QuotaOf::Project, kind, bounds.project_bytes, used, wanted)
        };
        Ok(StoreError::QuotaExceeded {
            of,
            quota,
            limit,
            used,
            wanted,
        })
    }
}

fn to_event(row: &Row) -> Result<AxonEvent> {
    Ok(AxonEvent {
        axon: row.parse("axon_id")?,
        sequence: row.number("sequence")?,
        at: row.time("created_at")?,
        event: NewAxonEvent {
            origin: row.parse("origin")?,
            source: row.text("source")?,
            event_type: row.text("event_type")?,
            payload: row.text("payload")?,
        },
    })
}
