//! Recording a new sandbox: idempotency, image, quota and row in one transaction.

use pinfold_model::{OrgId, Quota, Sandbox, SandboxId, SandboxSpec};

use super::{get, to_sandbox};
use crate::db::{Query, Sql, Tx, statements, to_json};
use crate::error::{QuotaOf, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::quota::{Holding, to_quota};

statements! {
    // The lock makes inserts of one project queue up, so each sees what the one before it added.
    LOCK_PROJECT = Sql::split(
        "SELECT org_id, quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib \
         FROM projects WHERE id = $1",
        "SELECT org_id, quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib \
         FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    // The lock holds off a deletion of the image until the sandbox that uses it is recorded.
    LOCK_IMAGE = Sql::split(
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL",
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
    );
    // The same of the network policy that it follows.
    LOCK_POLICY = Sql::split(
        "SELECT id FROM network_policies WHERE id = $1 AND project_id = $2",
        "SELECT id FROM network_policies WHERE id = $1 AND project_id = $2 FOR SHARE",
    );
    IN_USE = Sql::both(
        "SELECT COUNT(*) AS sandboxes, \
             CAST(COALESCE(SUM(vcpu_millis), 0) AS BIGINT) AS vcpu_millis, \
             CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib \
         FROM sandboxes WHERE project_id = $1 AND live = 1",
    );
    // A key of an admin may make sandboxes in several projects at once.
    KEY_QUOTA = Sql::split(
        "SELECT quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib FROM keys WHERE id = $1",
        "SELECT quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib FROM keys WHERE id = $1 \
         FOR NO KEY UPDATE",
    );
    IN_USE_BY_KEY = Sql::both(
        "SELECT COUNT(*) AS sandboxes, \
             CAST(COALESCE(SUM(vcpu_millis), 0) AS BIGINT) AS vcpu_millis, \
             CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib \
         FROM sandboxes WHERE key_id = $1 AND live = 1",
    );
    INSERT = Sql::both(
        "INSERT INTO sandboxes (id, org_id, project_id, key_id, image_id, vcpu_millis, memory_mib, spec, \
             state, live, reason, failure, created_at, running_since, expires_at, last_active_at, \
             ended_at, network_policy_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    );
    INSERT_METADATA = Sql::both(
        "INSERT INTO sandbox_metadata (sandbox_id, key, value) VALUES ($1, $2, $3)",
    );
}

pub(super) async fn insert(
    tx: &mut Tx,
    sandbox: &Sandbox,
    claim: Option<&Idempotency>,
) -> Result<Inserted<Sandbox>> {
    if let Some(claim) = claim {
        match claim_in(tx, claim, sandbox.id.as_str(), sandbox.created_at).await? {
            Claim::New => {}
            Claim::Replay { resource_id } => return replay(tx, &resource_id).await,
            Claim::Conflict => return Err(StoreError::IdempotencyConflict),
        }
    }
    let org = check_quotas(tx, sandbox).await?;
    let image = sandbox.spec.image.as_str();
    if tx.row(LOCK_IMAGE.bind(image)).await?.is_none() {
        return Err(StoreError::not_found(Thing::Image, image));
    }
    if let Some(policy) = &sandbox.spec.network_policy_id {
        let lock = LOCK_POLICY.bind(policy.as_str());
        if tx.row(lock.bind(sandbox.project.as_str())).await?.is_none() {
            return Err(StoreError::not_found(Thing::NetworkPolicy, policy.as_str()));
        }
    }
    insert_row(tx, &org, sandbox).await?;
    insert_metadata(tx, &sandbox.id, &sandbox.spec).await?;
    Ok(Inserted::New(sandbox.clone()))
}

/// For lists that filter by it.
pub(super) async fn insert_metadata(tx: &mut Tx, id: &SandboxId, spec: &SandboxSpec) -> Result<()> {
    for (key, value) in &spec.metadata {
        let insert = INSERT_METADATA.bind(id.as_str());
        tx.execute(insert.bind(key.as_str()).bind(value.as_str()))
            .await?;
    }
    Ok(())
}

async fn replay(tx: &mut Tx, id: &str) -> Result<Inserted<Sandbox>> {
    let id: SandboxId = id
        .parse()
        .map_err(|e| StoreError::corrupt("resource_id", e))?;
    match tx.row(get(&id)).await? {
        Some(row) => Ok(Inserted::Replay(to_sandbox(&row)?)),
        None => Err(StoreError::corrupt("resource_id", "no such sandbox")),
    }
}

/// Answers the org of the project. The project and then the key stay locked until the transaction
/// ends, always in this order.
async fn check_quotas(tx: &mut Tx, sandbox: &Sandbox) -> Result<OrgId> {
    let project = sandbox.project.as_str();
    let Some(row) = tx.row(LOCK_PROJECT.bind(project)).await? else {
        return Err(StoreError::not_found(Thing::Project, project));
    };
    if sandbox.state.is_live() {
        let in_use = IN_USE.bind(project);
        check(tx, sandbox, QuotaOf::Project, to_quota(&row)?, in_use).await?;
        if let Some(key) = &sandbox.key {
            let quota = tx.row(KEY_QUOTA.bind(key.as_str())).await?;
            let quota = quota.ok_or_else(|| StoreError::not_found(Thing::Key, key.as_str()))?;
            let in_use = IN_USE_BY_KEY.bind(key.as_str());
            check(tx, sandbox, QuotaOf::Key, to_quota(&quota)?, in_use).await?;
        }
    }
    row.parse("org_id")
}

async fn check(
    tx: &mut Tx,
    sandbox: &Sandbox,
    of: QuotaOf,
    quota: Quota,
    in_use: Query,
) -> Result<()> {
    if quota == Quota::UNBOUNDED {
        return Ok(());
    }
    let in_use = tx.row(in_use).await?;
    let in_use = in_use.map_or(Ok(Holding::default()), |row| Holding::read(&row))?;
    in_use.admit(sandbox.spec.resources, of, quota)
}

async fn insert_row(tx: &mut Tx, org: &OrgId, sandbox: &Sandbox) -> Result<()> {
    let insert = INSERT
        .bind(sandbox.id.as_str())
        .bind(org.as_str())
        .bind(sandbox.project.as_str())
        .bind(sandbox.key.as_ref().map(|key| key.as_str()))
        .bind(sandbox.spec.image.as_str())
        .bind(sandbox.spec.resources.vcpu_millis)
        .bind(sandbox.spec.resources.memory_mib)
        .bind(to_json(&sandbox.spec))
        .bind(sandbox.state.as_str())
        .bind(i64::from(sandbox.state.is_live()))
        .bind(sandbox.reason.map(|reason| reason.as_str()))
        .bind(sandbox.failure.as_deref())
        .bind(sandbox.created_at)
        .bind(sandbox.running_since)
        .bind(sandbox.expires_at)
        .bind(sandbox.last_active_at)
        .bind(sandbox.ended_at)
        .bind(
            sandbox
                .spec
                .network_policy_id
                .as_ref()
                .map(|id| id.as_str()),
        );
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Sandbox, sandbox.id.as_str()))?;
    Ok(())
}
