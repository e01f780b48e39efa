//! Network policies with a name. Sandboxes name theirs in a column of their own, so that a policy in
//! use is found without reading specifications.

use pinfold_model::{NamedPolicy, NetworkPolicyId, ProjectId, Time};

use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::page::{Page, PageRequest};

/// Repository of named network policies.
#[derive(Debug, Clone, Copy)]
pub struct NetworkPolicies<'a> {
    db: &'a Db,
}

macro_rules! columns {
    () => {
        "id, project_id, name, description, rules, annotations, version, created_by, created_at, \
         updated_at"
    };
}

statements! {
    // Creations of one project queue up, so each counts what the one before it made.
    LOCK_PROJECT = Sql::split(
        "SELECT id FROM projects WHERE id = $1",
        "SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    COUNT = Sql::both(
        "SELECT COUNT(*) AS policies FROM network_policies WHERE project_id = $1",
    );
    INSERT = Sql::both(concat!(
        "INSERT INTO network_policies (", columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    ));
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM network_policies WHERE project_id = $1 AND id = $2"
    ));
    BY_NAME = Sql::both(concat!(
        "SELECT ", columns!(), " FROM network_policies WHERE project_id = $1 AND name = $2 LIMIT 2"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM network_policies \
         WHERE project_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    CHANGE = Sql::both(concat!(
        "UPDATE network_policies SET name = $4, description = $5, rules = $6, annotations = $7, \
             version = CAST($3 AS BIGINT) + 1, updated_at = $8 \
         WHERE project_id = $1 AND id = $2 AND version = CAST($3 AS BIGINT) RETURNING ", columns!()
    ));
    // Held against a sandbox that is being recorded with it.
    LOCK = Sql::split(
        "SELECT id FROM network_policies WHERE project_id = $1 AND id = $2",
        "SELECT id FROM network_policies WHERE project_id = $1 AND id = $2 FOR UPDATE",
    );
    USER = Sql::both("SELECT id FROM sandboxes WHERE network_policy_id = $1 AND live = 1 LIMIT 1");
    DELETE = Sql::both("DELETE FROM network_policies WHERE id = $1");
}

impl<'a> NetworkPolicies<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a policy, in one transaction with the claim of the request's idempotency key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without its project, and for a repeated request whose policy has been
    /// deleted; [`StoreError::QuotaExceeded`] where the project has `max`;
    /// [`StoreError::IdempotencyConflict`]. After an error nothing is recorded.
    pub async fn insert(
        &self,
        policy: &NamedPolicy,
        max: u32,
        claim: Option<&Idempotency>,
    ) -> Result<Inserted<NamedPolicy>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, policy, max, claim).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    pub async fn get(
        &self,
        project: &ProjectId,
        id: &NetworkPolicyId,
    ) -> Result<Option<NamedPolicy>> {
        let row = self
            .db
            .row(GET.bind(project.as_str()).bind(id.as_str()))
            .await?;
        row.as_ref().map(to_policy).transpose()
    }

    /// Those of that name, two at most.
    pub async fn by_name(&self, project: &ProjectId, name: &str) -> Result<Vec<NamedPolicy>> {
        let rows = self
            .db
            .rows(BY_NAME.bind(project.as_str()).bind(name))
            .await?;
        rows.iter().map(to_policy).collect()
    }

    /// Newest first.
    pub async fn list(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<NamedPolicy>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_policy)
    }

    /// Replaces what callers choose if its version is still the one given (compare and set): the policy
    /// after the change, or `None` where it has another version or is gone.
    pub async fn change(&self, policy: &NamedPolicy, at: Time) -> Result<Option<NamedPolicy>> {
        let change = CHANGE
            .bind(policy.project.as_str())
            .bind(policy.id.as_str())
            .bind(policy.version)
            .bind(policy.name.as_str())
            .bind(policy.description.as_deref())
            .bind(to_json(&policy.rules))
            .bind(to_json(&policy.annotations))
            .bind(at);
        let row = self.db.change(change).await?;
        row.as_ref().map(to_policy).transpose()
    }

    /// # Errors
    /// [`StoreError::InUse`] while a live sandbox follows it, and [`StoreError::NotFound`].
    pub async fn delete(&self, project: &ProjectId, id: &NetworkPolicyId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let lock = LOCK.bind(project.as_str()).bind(id.as_str());
        if tx.row(lock).await?.is_none() {
            return Err(StoreError::not_found(Thing::NetworkPolicy, id.as_str()));
        }
        if let Some(row) = tx.row(USER.bind(id.as_str())).await? {
            return Err(StoreError::InUse {
                thing: Thing::NetworkPolicy,
                id: id.to_string(),
                by: row.text("id")?,
            });
        }
        tx.execute(DELETE.bind(id.as_str())).await?;
        tx.commit().await
    }
}

async fn insert(
    tx: &mut Tx,
    policy: &NamedPolicy,
    max: u32,
    claim: Option<&Idempotency>,
) -> Result<Inserted<NamedPolicy>> {
    let project = policy.project.as_str();
    if let Some(claim) = claim {
        match claim_in(tx, claim, policy.id.as_str(), policy.created_at).await? {
            Claim::New => {}
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
            Claim::Replay { resource_id } => {
                let row = tx.row(GET.bind(project).bind(resource_id.as_str())).await?;
                let missing = || StoreError::not_found(Thing::NetworkPolicy, resource_id);
                return Ok(Inserted::Replay(to_policy(&row.ok_or_else(missing)?)?));
            }
        }
    }
    if tx.row(LOCK_PROJECT.bind(project)).await?.is_none() {
        return Err(StoreError::not_found(Thing::Project, project));
    }
    let row = tx.row(COUNT.bind(project)).await?;
    let used: u64 = row.map_or(Ok(0), |row| row.number("policies"))?;
    if used >= u64::from(max) {
        return Err(StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota: QuotaKind::NetworkPolicies,
            limit: max.into(),
            used,
            wanted: 1,
        });
    }
    let insert = INSERT
        .bind(policy.id.as_str())
        .bind(project)
        .bind(policy.name.as_str())
        .bind(policy.description.as_deref())
        .bind(to_json(&policy.rules))
        .bind(to_json(&policy.annotations))
        .bind(policy.version)
        .bind(policy.created_by.as_ref().map(|key| key.as_str()))
        .bind(policy.created_at)
        .bind(policy.updated_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::NetworkPolicy, policy.id.as_str()))?;
    Ok(Inserted::New(policy.clone()))
}

fn to_policy(row: &Row) -> Result<NamedPolicy> {
    Ok(NamedPolicy {
        id: row.parse("id")?,
        project: row.parse("project_id")?,
        name: row.text("name")?,
        description: row.opt_text("description")?,
        rules: row.json("rules")?,
        annotations: row.json("annotations")?,
        version: row.number("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        created_by: row.opt_parse("created_by")?,
    })
}
