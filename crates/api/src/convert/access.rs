//! Projects, keys, callers.

use std::time::Duration;

use pinfold_engine::{CreateKey, CreatedKey, Expires, QuotaChange};
use pinfold_model::{Error, Key, KeyKind, Principal, Project, Quota, Result, Role, Scopes};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn project(project: Project) -> wire::Project {
    wire::Project {
        id: project.id.into(),
        org_id: project.org.into(),
        name: project.name,
        quota: quota(project.quota),
        created_at: time(project.created_at),
    }
}

fn quota(quota: Quota) -> wire::Quota {
    wire::Quota {
        live_sandboxes: quota.live_sandboxes,
        vcpu: quota.vcpu_millis.map(|millis| millis as f64 / 1000.0),
        memory_mib: quota.memory_mib,
        object_bytes: quota.object_bytes,
    }
}

pub(crate) fn quota_change(change: wire::QuotaChange) -> Result<QuotaChange> {
    let vcpu_millis = match change.vcpu {
        Some(Some(vcpu)) => Some(Some(quota_millis(vcpu)?)),
        Some(None) => Some(None),
        None => None,
    };
    Ok(QuotaChange {
        live_sandboxes: change.live_sandboxes,
        vcpu_millis,
        memory_mib: change.memory_mib,
        object_bytes: change.object_bytes,
    })
}

/// A project may hold more CPUs than one sandbox, or none.
fn quota_millis(vcpu: f64) -> Result<u64> {
    let millis = (vcpu * 1000.0).round();
    if (0.0..=1e12).contains(&millis) {
        return Ok(millis as u64);
    }
    Err(Error::invalid(
        "quota.vcpu",
        "a quota of vcpu is a number from 0 to 1000000000",
    ))
}

pub(crate) fn key(key: Key) -> wire::Key {
    wire::Key {
        id: key.id.into(),
        org_id: key.org.into(),
        project_id: key.project.into(),
        name: key.name,
        kind: match key.kind {
            KeyKind::User => wire::KeyKind::User,
            KeyKind::Agent => wire::KeyKind::Agent,
            KeyKind::Pat => wire::KeyKind::Pat,
        },
        role: role(key.role),
        scopes: key.scopes.texts(),
        prefix: key.prefix,
        quota: quota(key.quota),
        created_at: time(key.created_at),
        expires_at: key.expires_at.map(time),
        revoked_at: key.revoked_at.map(time),
        last_used_at: key.last_used_at.map(time),
    }
}

fn role(role: Role) -> wire::Role {
    match role {
        Role::Member => wire::Role::Member,
        Role::Admin => wire::Role::Admin,
    }
}

pub(crate) fn create_key(request: wire::CreateKey) -> Result<CreateKey> {
    let project = request.project_id.map(|text| {
        text.parse().map_err(|error: pinfold_model::id::InvalidId| {
            Error::invalid("project_id", format!("project_id: {error}"))
        })
    });
    // Words that the wire does not know are refused by the domain, which lists those it does.
    Ok(CreateKey {
        name: request.name,
        role: request.role.as_str().parse()?,
        kind: request
            .kind
            .unwrap_or(wire::KeyKind::User)
            .as_str()
            .parse()?,
        project: project.transpose()?,
        scopes: match &request.scopes {
            Some(texts) => Scopes::parse(texts)?,
            None => Scopes::All,
        },
        expires: request
            .expires_in_ms
            .map(|ms| Expires::In(Duration::from_millis(ms))),
        quota: quota_change(request.quota)?,
    })
}

pub(crate) fn created_key(created: CreatedKey) -> wire::CreatedKey {
    wire::CreatedKey {
        key: key(created.key),
        secret: created.secret,
    }
}

pub(crate) fn whoami(principal: &Principal) -> wire::WhoAmI {
    wire::WhoAmI {
        org_id: principal.org.to_string(),
        project_id: principal.project.to_string(),
        role: role(principal.role),
        scopes: principal.scopes.texts(),
        key_id: principal.key.as_ref().map(ToString::to_string),
    }
}
