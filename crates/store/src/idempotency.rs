//! Idempotency keys: the first request with a key makes something, later ones get the same thing.
//!
//! A claim that belongs to an insert is made in the insert's transaction, so no crash can leave one
//! without the other.

use pinfold_model::{KeyId, ProjectId, SandboxId, Time, limits};

use crate::db::{Db, Query, Row, Sql, Tx, statements};
use crate::error::{Result, StoreError};

/// Repository of idempotency keys.
#[derive(Debug, Clone, Copy)]
pub struct IdempotencyKeys<'a> {
    db: &'a Db,
}

/// What names one request: two with equal scope, operation and key are the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    scope: String,
    operation: &'static str,
    key: String,
    /// What tells the request from others.
    request_hash: [u8; 32],
    /// What did so when the same request may have been recorded.
    former_hash: Option<[u8; 32]>,
}

impl Idempotency {
    /// `api_key` is `None` for the process itself. `operation` such as `sandbox.create`.
    #[must_use]
    pub fn new(
        project: &ProjectId,
        api_key: Option<&KeyId>,
        operation: &'static str,
        key: impl Into<String>,
        request_hash: [u8; 32],
    ) -> Self {
        Self {
            scope: format!("{project}/{}", api_key.map_or("", KeyId::as_str)),
            operation,
            key: key.into(),
            request_hash,
            former_hash: None,
        }
    }

    /// A record of this hash is one of the same request too; it is never made.
    #[must_use]
    pub const fn or_recorded_as(mut self, former_hash: [u8; 32]) -> Self {
        self.former_hash = Some(former_hash);
        self
    }

    /// The same key in another sandbox is another request.
    #[must_use]
    pub fn in_sandbox(mut self, sandbox: &SandboxId) -> Self {
        self.scope = format!("{}/{sandbox}", self.scope);
        self
    }
}

/// What a claim found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The key is now this request's.
    New,
    /// The same request came before and made this.
    Replay { resource_id: String },
    /// Another request has the key.
    Conflict,
}

/// What an insert with an id or idempotency key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted<T> {
    New(T),
    /// Nothing was inserted: this is what the same request made before, as it is now.
    Replay(T),
}

impl<T> Inserted<T> {
    /// The thing itself, whichever request made it.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(thing) | Self::Replay(thing) => thing,
        }
    }
}

statements! {
    // A row changes when the key was free or its time was over. Otherwise the row that is there stays
    // locked, so the GET that follows in the same transaction finds it.
    CLAIM = Sql::both(
        "INSERT INTO idempotency_keys \
             (scope, operation, key, request_hash, resource_id, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (scope, operation, key) DO UPDATE \
         SET request_hash = excluded.request_hash, resource_id = excluded.resource_id, \
             created_at = excluded.created_at \
         WHERE idempotency_keys.created_at <= $7",
    );
    GET = Sql::both(
        "SELECT request_hash, resource_id FROM idempotency_keys \
         WHERE scope = $1 AND operation = $2 AND key = $3",
    );
    FIND = Sql::both(
        "SELECT request_hash, resource_id FROM idempotency_keys \
         WHERE scope = $1 AND operation = $2 AND key = $3 AND created_at > $4",
    );
    FORGET = Sql::both(
        "DELETE FROM idempotency_keys \
         WHERE scope = $1 AND operation = $2 AND key = $3 AND resource_id = $4",
    );
    PURGE = Sql::both("DELETE FROM idempotency_keys WHERE created_at <= $1");
}

impl<'a> IdempotencyKeys<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Claims the key for `resource_id`, for what is not kept in this store. Of any number of
    /// concurrent equal claims exactly one is [`Claim::New`].
    pub async fn claim(&self, claim: &Idempotency, resource_id: &str, now: Time) -> Result<Claim> {
        let mut tx = self.db.begin().await?;
        let outcome = claim_in(&mut tx, claim, resource_id, now).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    /// What a claim would find, without making it; `None`: the key is free.
    pub async fn find(&self, claim: &Idempotency, now: Time) -> Result<Option<Claim>> {
        let alive = bind_key(FIND, claim).bind(now - limits::IDEMPOTENCY_KEPT);
        let row = self.db.row(alive).await?;
        row.map(|row| compare(&row, claim)).transpose()
    }

    /// What the same request made before; `None`: the key is free.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`] where that was another request.
    pub(crate) async fn replayed(&self, claim: &Idempotency, now: Time) -> Result<Option<String>> {
        match self.find(claim, now).await? {
            None | Some(Claim::New) => Ok(None),
            Some(Claim::Conflict) => Err(StoreError::IdempotencyConflict),
            Some(Claim::Replay { resource_id }) => Ok(Some(resource_id)),
        }
    }

    /// Forgets what is older than 24 hours; answers how many keys that were.
    pub async fn purge(&self, now: Time) -> Result<u64> {
        self.db
            .execute_slowly(PURGE.bind(now - limits::IDEMPOTENCY_KEPT))
            .await
    }
}

/// Gives the key of a request back that came to nothing: whoever repeats the request makes it anew.
pub(crate) async fn forget_in(tx: &mut Tx, claim: &Idempotency, resource_id: &str) -> Result<()> {
    let forget = bind_key(FORGET, claim).bind(resource_id);
    tx.execute(forget).await.map(drop)
}

pub(crate) async fn claim_in(
    tx: &mut Tx,
    claim: &Idempotency,
    resource_id: &str,
    now: Time,
) -> Result<Claim> {
    let take = bind_key(CLAIM, claim)
        .bind(claim.request_hash)
        .bind(resource_id)
        .bind(now)
        .bind(now - limits::IDEMPOTENCY_KEPT);
    // Without RETURNING: SQLite's thread hands over each row, and then the end, apart.
    if tx.execute(take).await? > 0 {
        return Ok(Claim::New);
    }
    match tx.row(bind_key(GET, claim)).await? {
        Some(row) => compare(&row, claim),
        None => Err(StoreError::corrupt(
            "key",
            "a locked idempotency key vanished",
        )),
    }
}

fn bind_key(sql: Sql, claim: &Idempotency) -> Query {
    sql.bind(claim.scope.as_str())
        .bind(claim.operation)
        .bind(claim.key.as_str())
}

fn compare(row: &Row, claim: &Idempotency) -> Result<Claim> {
    let recorded = row.hash("request_hash")?;
    if recorded != claim.request_hash && Some(recorded) != claim.former_hash {
        return Ok(Claim::Conflict);
    }
    Ok(Claim::Replay {
        resource_id: row.text("resource_id")?,
    })
}
