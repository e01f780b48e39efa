//! Projects, API keys and usage.

use pinfold_engine::ProjectMonth;
use pinfold_model::{Key, Project, Role};

use super::time;
use crate::crownest::wire;
use crate::prefix::with_prefix;

/// One credit of the usage page is this much of one vCPU.
const UNIT_SECONDS_PER_CREDIT: u64 = 3600;

pub(in crate::crownest) fn project(project: Project) -> wire::Project {
    wire::Project {
        id: project.id.into(),
        org_id: project.org.into(),
        name: project.name,
        created_at: time(project.created_at),
    }
}

pub(in crate::crownest) fn api_key(key: Key) -> wire::ApiKey {
    wire::ApiKey {
        created_by_user_id: with_prefix(key.id.as_str(), "usr"),
        id: key.id.into(),
        org_id: key.org.into(),
        name: key.name,
        prefix: key.prefix,
        last4: key.suffix,
        // An admin's key is of no single project.
        project_ids: (key.role == Role::Member).then(|| vec![key.project.into()]),
        scopes: scopes(key.role),
        created_at: time(key.created_at),
        revoked_at: key.revoked_at.map(time),
        last_used_at: key.last_used_at.map(time),
    }
}

/// What both roles may, in the vendor's words.
const MEMBER: &[&str] = &[
    "sandbox:create",
    "sandbox:read",
    "sandbox:kill",
    "sandbox:extend",
    "command:run",
    "command:read",
    "command:cancel",
    "code:run",
    "file:read",
    "file:write",
    "artifact:create",
    "artifact:read",
    "artifact:delete",
    "preview:create",
    "preview:read",
    "preview:revoke",
    "usage:read",
];
/// What admins may beside that.
const ADMIN: &[&str] = &["api_key:read", "api_key:revoke", "project:create"];

fn scopes(role: Role) -> Vec<&'static str> {
    match role {
        Role::Admin => [MEMBER, ADMIN].concat(),
        Role::Member => MEMBER.to_vec(),
    }
}

pub(in crate::crownest) fn usage(month: &ProjectMonth) -> wire::Usage {
    let used = month.used;
    let current = used.live_sandboxes;
    let quota = month.project.quota.live_sandboxes.map(|limit| wire::Quota {
        limit: limit.into(),
        current,
        remaining: u64::from(limit).saturating_sub(current),
    });
    wire::Usage {
        period: wire::Period {
            start: time(month.month.begin),
            end: time(month.month.end),
            reset_at: time(month.month.end),
        },
        pricing_version: "self-hosted",
        compute_unit_seconds_per_credit: UNIT_SECONDS_PER_CREDIT,
        currency_per_credit: 0.0,
        compute_unit_seconds: wire::Used {
            used: used.vcpu_seconds,
        },
        credits: wire::Used {
            used: used.vcpu_seconds / UNIT_SECONDS_PER_CREDIT as f64,
        },
        quotas: quota
            .map(|quota| ("concurrentSandboxes", quota))
            .into_iter()
            .collect(),
    }
}
