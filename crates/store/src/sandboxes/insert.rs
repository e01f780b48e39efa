//! Recording a new sandbox: idempotency, image, quota and row in one transaction.

use pinfold_model::{OrgId, Quota, Sandbox, SandboxId};

use super::{get, to_sandbox};
use crate::db::{Row, Sql, Tx, statements, to_json};
use crate::error::{QuotaKind, Result, StoreError, Thing};
use crate::idempotency::{Claim, Idempotency, Inserted, claim_in};
use crate::projects::to_quota;

statements! {
    // The lock makes inserts of one project queue up, so each sees what the one before it added.
    LOCK_PROJECT = Sql::split(
        "SELECT org_id, quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib, \
             quota_object_bytes \
         FROM projects WHERE id = $1",
        "SELECT org_id, quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib, \
             quota_object_bytes \
         FROM projects WHERE id = $1 FOR NO KEY UPDATE",
    );
    // The lock holds off a deletion of the image until the sandbox that uses it is recorded.
    LOCK_IMAGE = Sql::split(
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL",
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
    );
    IN_USE = Sql::both(
        "SELECT COUNT(*) AS sandboxes, \
             CAST(COALESCE(SUM(vcpu_millis), 0) AS BIGINT) AS vcpu_millis, \
             CAST(COALESCE(SUM(memory_mib), 0) AS BIGINT) AS memory_mib \
         FROM sandboxes WHERE project_id = $1 AND live = 1",
    );
    INSERT = Sql::both(
        "INSERT INTO sandboxes (id, org_id, project_id, image_id, vcpu_millis, memory_mib, spec, \
             state, live, reason, failure, created_at, running_since, expires_at, last_active_at, \
             ended_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
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
    let org = check_quota(tx, sandbox).await?;
    let image = sandbox.spec.image.as_str();
    if tx.row(LOCK_IMAGE.bind(image)).await?.is_none() {
        return Err(StoreError::not_found(Thing::Image, image));
    }
    insert_row(tx, &org, sandbox).await?;
    for (key, value) in &sandbox.spec.metadata {
        let insert = INSERT_METADATA.bind(sandbox.id.as_str());
        tx.execute(insert.bind(key.as_str()).bind(value.as_str()))
            .await?;
    }
    Ok(Inserted::New(sandbox.clone()))
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

/// Answers the org of the project, which stays locked until the transaction ends.
async fn check_quota(tx: &mut Tx, sandbox: &Sandbox) -> Result<OrgId> {
    let project = sandbox.project.as_str();
    let Some(row) = tx.row(LOCK_PROJECT.bind(project)).await? else {
        return Err(StoreError::not_found(Thing::Project, project));
    };
    let quota = to_quota(&row)?;
    if sandbox.state.is_live() && bounds_sandboxes(quota) {
        let in_use = tx.row(IN_USE.bind(project)).await?;
        let in_use = in_use.map_or(Ok(Holding::default()), |row| to_holding(&row))?;
        in_use.admit(sandbox, quota)?;
    }
    row.parse("org_id")
}

const fn bounds_sandboxes(quota: Quota) -> bool {
    quota.live_sandboxes.is_some() || quota.vcpu_millis.is_some() || quota.memory_mib.is_some()
}

/// What the live sandboxes of a project hold together.
#[derive(Default)]
struct Holding {
    sandboxes: u64,
    vcpu_millis: u64,
    memory_mib: u64,
}

impl Holding {
    fn admit(&self, sandbox: &Sandbox, quota: Quota) -> Result<()> {
        let resources = sandbox.spec.resources;
        let live = quota.live_sandboxes.map(u64::from);
        bounded(QuotaKind::LiveSandboxes, live, self.sandboxes, 1)?;
        let vcpu = resources.vcpu_millis.into();
        bounded(
            QuotaKind::VcpuMillis,
            quota.vcpu_millis,
            self.vcpu_millis,
            vcpu,
        )?;
        let memory = resources.memory_mib.into();
        bounded(
            QuotaKind::MemoryMib,
            quota.memory_mib,
            self.memory_mib,
            memory,
        )
    }
}

fn bounded(quota: QuotaKind, limit: Option<u64>, used: u64, wanted: u64) -> Result<()> {
    match limit {
        Some(limit) if used.saturating_add(wanted) > limit => Err(StoreError::QuotaExceeded {
            quota,
            limit,
            used,
            wanted,
        }),
        _ => Ok(()),
    }
}

fn to_holding(row: &Row) -> Result<Holding> {
    Ok(Holding {
        sandboxes: row.number("sandboxes")?,
        vcpu_millis: row.number("vcpu_millis")?,
        memory_mib: row.number("memory_mib")?,
    })
}

async fn insert_row(tx: &mut Tx, org: &OrgId, sandbox: &Sandbox) -> Result<()> {
    let insert = INSERT
        .bind(sandbox.id.as_str())
        .bind(org.as_str())
        .bind(sandbox.project.as_str())
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
        .bind(sandbox.ended_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Sandbox, sandbox.id.as_str()))?;
    Ok(())
}
