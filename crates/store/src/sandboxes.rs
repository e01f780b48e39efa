//! Sandboxes: their records, guarded changes of state, and lists. No row is ever deleted, so what
//! was destroyed stays readable.

pub(crate) mod insert;
pub(crate) mod list;

use std::time::Duration;

use pinfold_model::sandbox::EndReason;
use pinfold_model::usage::UsageRecord;
use pinfold_model::{Sandbox, SandboxId, SandboxSpec, SandboxState, Time, Tunnel};

use crate::db::{Db, Query, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, IdempotencyKeys, Inserted, claim_in};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::tunnels;
use crate::usage::append_and_advance_in;

pub use list::{METADATA_FILTERS_MAX, SandboxFilter, States};

/// Repository of sandboxes.
#[derive(Debug, Clone, Copy)]
pub struct Sandboxes<'a> {
    db: &'a Db,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub to: SandboxState,
    /// Why it failed or ended. A state that is not live keeps an earlier reason where this is
    /// `None`; a live one has the reason given here, so most have none.
    pub reason: Option<EndReason>,
    /// Public text that goes with a failure; kept like `reason`.
    pub failure: Option<String>,
    /// Replaces what may change of the spec, as [`Sandboxes::set_spec`] does; `None` leaves it as it is.
    pub spec: Option<SandboxSpec>,
    pub at: Time,
}

impl Transition {
    #[must_use]
    pub const fn new(to: SandboxState, at: Time) -> Self {
        Self {
            to,
            reason: None,
            failure: None,
            spec: None,
            at,
        }
    }
}

/// How exact "last active" is. Idle timeouts are checked against it, so they may fire this much
/// early.
const TOUCH_EVERY: Duration = Duration::from_secs(1);

macro_rules! columns {
    () => {
        "id, project_id, key_id, spec, state, reason, failure, created_at, running_since, ttl_ms, \
         expires_at, last_active_at, ended_at"
    };
}
use columns;

statements! {
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM sandboxes WHERE id = $1"));
    GET_IN_PROJECT = Sql::both(concat!(
        "SELECT ", columns!(), " FROM sandboxes WHERE id = $1 AND project_id = $2"
    ));
    GET_IN_ORG = Sql::both(concat!(
        "SELECT ", columns!(), " FROM sandboxes WHERE id = $1 AND org_id = $2"
    ));
    // $2 to, $3 whether that is live, $4 reason, $5 failure, $6 at, $7.. from
    TRANSITION = Sql::both(concat!(
        "UPDATE sandboxes SET \
             state = $2, \
             live = $3, \
             reason = CASE WHEN CAST($3 AS BIGINT) = 1 THEN $4 ELSE COALESCE($4, reason) END, \
             failure = CASE WHEN CAST($3 AS BIGINT) = 1 THEN $5 ELSE COALESCE($5, failure) END, \
             running_since = CASE WHEN $2 = 'running' AND state <> 'running' \
                 THEN $6 ELSE running_since END, \
             last_active_at = CASE WHEN $2 = 'running' AND last_active_at < $6 \
                 THEN $6 ELSE last_active_at END, \
             ended_at = CASE WHEN CAST($3 AS BIGINT) = 1 THEN NULL ELSE COALESCE(ended_at, $6) END, \
             spec = COALESCE($13, spec) \
         WHERE id = $1 AND state IN ($7, $8, $9, $10, $11, $12) \
         RETURNING ", columns!()
    ));
    SET_EXPIRY = Sql::both(concat!(
        "UPDATE sandboxes SET ttl_ms = $2, expires_at = $3 WHERE id = $1 AND live = 1 RETURNING ",
        columns!()
    ));
    DELETE_METADATA = Sql::both("DELETE FROM sandbox_metadata WHERE sandbox_id = $1");
    SET_SPEC = Sql::both(
        "UPDATE sandboxes SET spec = $2, network_policy_id = $3 \
         WHERE id = $1 AND state <> 'destroyed'",
    );
    TOUCH = Sql::both(
        "UPDATE sandboxes SET last_active_at = $2 WHERE id = $1 AND last_active_at <= $3",
    );
    LIVE = Sql::both(concat!(
        "SELECT ", columns!(), " FROM sandboxes WHERE live = 1 ORDER BY created_at, id"
    ));
}

impl<'a> Sandboxes<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new sandbox, in one transaction with the checks of its project's and key's quotas and with the
    /// claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::QuotaExceeded`], [`StoreError::IdempotencyConflict`],
    /// [`StoreError::NotFound`] for a project or image that is missing or deleted, and
    /// [`StoreError::AlreadyExists`] for a known id. After an error nothing is recorded, also not
    /// the claim.
    pub async fn insert(
        &self,
        sandbox: &Sandbox,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Sandbox>> {
        self.insert_with(sandbox, None, claim).await
    }

    /// The same together with its tunnel: neither is recorded without the other.
    pub async fn insert_with(
        &self,
        sandbox: &Sandbox,
        tunnel: Option<&Tunnel>,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Sandbox>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert::insert(&mut tx, sandbox, claim).await?;
        if let (Inserted::New(_), Some(tunnel)) = (&inserted, tunnel) {
            tunnels::insert_row(&mut tx, tunnel).await?;
        }
        tx.commit().await?;
        Ok(inserted)
    }

    /// What an earlier request with this idempotency key made, as it is now.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`] where that was another request.
    pub async fn replay(&self, claim: &Idempotency, now: Time) -> Result<Option<Sandbox>> {
        let Some(id) = IdempotencyKeys::new(self.db).replayed(claim, now).await? else {
            return Ok(None);
        };
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_sandbox).transpose()
    }

    pub async fn get(&self, id: &SandboxId) -> Result<Option<Sandbox>> {
        let row = self.db.row(get(id)).await?;
        row.as_ref().map(to_sandbox).transpose()
    }

    /// The sandbox if it is in that project or org; others do not exist for the caller.
    pub async fn find(&self, scope: &Scope, id: &SandboxId) -> Result<Option<Sandbox>> {
        let query = match scope {
            Scope::Project(project) => GET_IN_PROJECT.bind(id.as_str()).bind(project.as_str()),
            Scope::Org(org) => GET_IN_ORG.bind(id.as_str()).bind(org.as_str()),
        };
        let row = self.db.row(query).await?;
        row.as_ref().map(to_sandbox).transpose()
    }

    /// Fails with [`StoreError::TooManyFilters`] for more than [`METADATA_FILTERS_MAX`] of them.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &SandboxFilter,
        page: &PageRequest,
    ) -> Result<Page<Sandbox>> {
        list::list(self.db, scope, filter, page).await
    }

    /// Every live sandbox, oldest first, for reconcilers. Bounded by the projects' quotas.
    pub async fn list_live(&self) -> Result<Vec<Sandbox>> {
        let rows = self.db.rows(LIVE.query()).await?;
        rows.iter().map(to_sandbox).collect()
    }

    /// Changes the state if it is one of `from` now (compare and set): the sandbox after the
    /// change, or `None` where it was in another state or does not exist.
    ///
    /// Entering `running` sets `running_since` and counts as activity. Leaving the live states sets
    /// `ended_at`, once.
    pub async fn transition(
        &self,
        id: &SandboxId,
        from: &[SandboxState],
        change: &Transition,
    ) -> Result<Option<Sandbox>> {
        let row = self.db.change(transition(id, from, change)).await?;
        row.as_ref().map(to_sandbox).transpose()
    }

    /// The same together with a record of what was used before, which
    /// [`Usage::append_and_advance`](crate::Usage::append_and_advance) describes: both or neither.
    pub async fn transition_metered(
        &self,
        id: &SandboxId,
        from: &[SandboxState],
        change: &Transition,
        used: (&UsageRecord, u64),
    ) -> Result<Option<Sandbox>> {
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.row(transition(id, from, change)).await? else {
            return Ok(None);
        };
        let (record, cpu_counter_us) = used;
        append_and_advance_in(&mut tx, record, cpu_counter_us).await?;
        tx.commit().await?;
        to_sandbox(&row).map(Some)
    }

    /// Lets the absolute lifetime end `ttl` after `now`, in one transaction with the claim of the
    /// request's idempotency key: a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that is not live, and
    /// [`StoreError::IdempotencyConflict`].
    pub async fn set_ttl(
        &self,
        id: &SandboxId,
        ttl: Duration,
        now: Time,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<Sandbox>> {
        let mut tx = self.db.begin().await?;
        let claimed = match claim {
            Some(claim) => claim_in(&mut tx, claim, id.as_str(), now).await?,
            None => Claim::New,
        };
        let missing = || StoreError::not_found(Thing::Sandbox, id.as_str());
        let outcome = match claimed {
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
            Claim::Replay { .. } => {
                let row = tx.row(get(id)).await?.ok_or_else(missing)?;
                Inserted::Replay(to_sandbox(&row)?)
            }
            Claim::New => {
                let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let set = SET_EXPIRY.bind(id.as_str()).bind(millis).bind(now + ttl);
                Inserted::New(to_sandbox(&tx.row(set).await?.ok_or_else(missing)?)?)
            }
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Replaces name and metadata, in the spec and where lists look for them; everything else has to
    /// be as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that is not there, or destroyed.
    pub async fn describe(&self, id: &SandboxId, spec: &SandboxSpec) -> Result<()> {
        let mut tx = self.db.begin().await?;
        if tx.execute(set_spec(id, spec)).await? == 0 {
            return Err(StoreError::not_found(Thing::Sandbox, id.as_str()));
        }
        tx.execute(DELETE_METADATA.bind(id.as_str())).await?;
        insert::insert_metadata(&mut tx, id, spec).await?;
        tx.commit().await
    }

    /// Replaces what may change of the spec: its network, and how far its setup has come.
    /// Everything else has to be as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that is not there, or destroyed.
    pub async fn set_spec(&self, id: &SandboxId, spec: &SandboxSpec) -> Result<()> {
        match self.db.execute(set_spec(id, spec)).await? {
            0 => Err(StoreError::not_found(Thing::Sandbox, id.as_str())),
            _ => Ok(()),
        }
    }

    /// Notes activity, at most once a second; never moves it back.
    pub async fn touch(&self, id: &SandboxId, at: Time) -> Result<()> {
        let touch = TOUCH.bind(id.as_str()).bind(at).bind(at - TOUCH_EVERY);
        self.db.execute(touch).await?;
        Ok(())
    }
}

fn set_spec(id: &SandboxId, spec: &SandboxSpec) -> Query {
    SET_SPEC
        .bind(id.as_str())
        .bind(to_json(spec))
        .bind(spec.network_policy_id.as_ref().map(|id| id.as_str()))
}

fn transition(id: &SandboxId, from: &[SandboxState], change: &Transition) -> Query {
    let update = TRANSITION
        .bind(id.as_str())
        .bind(change.to.as_str())
        .bind(i64::from(change.to.is_live()))
        .bind(change.reason.map(EndReason::as_str))
        // The text may quote what came out of a sandbox; a NUL in it must not keep the failure
        // itself from being recorded.
        .bind(change.failure.as_ref().map(|text| text.replace('\0', "\u{fffd}")))
        .bind(change.at);
    bind_states(update, from).bind(change.spec.as_ref().map(to_json))
}

fn get(id: &SandboxId) -> Query {
    GET.bind(id.as_str())
}

/// Fills the six places of an `IN` with the wanted states. Places left over hold a text that is no
/// state, so an empty set matches nothing.
fn bind_states(mut query: Query, states: &[SandboxState]) -> Query {
    for state in SandboxState::ALL {
        let text = if states.contains(&state) {
            state.as_str()
        } else {
            ""
        };
        query = query.bind(text);
    }
    query
}

fn to_sandbox(row: &Row) -> Result<Sandbox> {
    let spec: SandboxSpec = row.json("spec")?;
    Ok(Sandbox {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        key: row.opt_parse("key_id")?,
        ttl: match row.opt_number("ttl_ms")? {
            Some(millis) => Some(Duration::from_millis(millis)),
            None => spec.ttl,
        },
        spec,
        state: row.parse("state")?,
        reason: row
            .opt_text("reason")?
            .map(|r| parse_reason(&r))
            .transpose()?,
        failure: row.opt_text("failure")?,
        created_at: row.time("created_at")?,
        running_since: row.opt_time("running_since")?,
        expires_at: row.opt_time("expires_at")?,
        last_active_at: row.time("last_active_at")?,
        running_commands: 0,
        ended_at: row.opt_time("ended_at")?,
    })
}

fn parse_reason(text: &str) -> Result<EndReason> {
    EndReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .ok_or_else(|| StoreError::corrupt("reason", format!("unknown reason {text:?}")))
}
