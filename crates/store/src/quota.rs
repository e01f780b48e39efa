//! Quotas as columns, and whether one more sandbox fits in.

use pinfold_model::{Quota, Resources};

use crate::db::{Query, Row};
use crate::error::{QuotaKind, QuotaOf, Result, StoreError};

/// Of what bounds sandboxes: binds live sandboxes, thousandths of a CPU and MiB, in this order.
pub(crate) fn bind_quota(query: Query, quota: Quota) -> Query {
    query
        .bind(quota.live_sandboxes.map(u64::from))
        .bind(quota.vcpu_millis)
        .bind(quota.memory_mib)
}

/// The same; what bounds anything else is for the caller to read.
pub(crate) fn to_quota(row: &Row) -> Result<Quota> {
    Ok(Quota {
        live_sandboxes: row.opt_number("quota_live_sandboxes")?,
        vcpu_millis: row.opt_number("quota_vcpu_millis")?,
        memory_mib: row.opt_number("quota_memory_mib")?,
        object_bytes: None,
    })
}

/// What live sandboxes hold together.
#[derive(Default)]
pub(crate) struct Holding {
    sandboxes: u64,
    vcpu_millis: u64,
    memory_mib: u64,
}

impl Holding {
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            sandboxes: row.number("sandboxes")?,
            vcpu_millis: row.number("vcpu_millis")?,
            memory_mib: row.number("memory_mib")?,
        })
    }

    /// Whether a sandbox of these resources fits in as well.
    pub(crate) fn admit(&self, wanted: Resources, of: QuotaOf, quota: Quota) -> Result<()> {
        let bounds = [
            (
                QuotaKind::LiveSandboxes,
                quota.live_sandboxes.map(u64::from),
                self.sandboxes,
                1,
            ),
            (
                QuotaKind::VcpuMillis,
                quota.vcpu_millis,
                self.vcpu_millis,
                wanted.vcpu_millis.into(),
            ),
            (
                QuotaKind::MemoryMib,
                quota.memory_mib,
                self.memory_mib,
                wanted.memory_mib.into(),
            ),
        ];
        for (quota, limit, used, wanted) in bounds {
            if let Some(limit) = limit.filter(|limit| used.saturating_add(wanted) > *limit) {
                return Err(StoreError::QuotaExceeded {
                    of,
                    quota,
                    limit,
                    used,
                    wanted,
                });
            }
        }
        Ok(())
    }
}
