//! Sandboxes.

use pinfold_model::sandbox::EndReason;
use pinfold_model::{Ctx, Sandbox, SandboxState};

use super::time;
use crate::crownest::wire;
use crate::prefix::with_prefix;

pub(in crate::crownest) fn sandbox(ctx: &Ctx, sandbox: Sandbox) -> wire::Sandbox {
    let status = status(&sandbox);
    let destroyed = sandbox.state == SandboxState::Destroyed;
    let reason = sandbox.reason.unwrap_or(EndReason::Requested);
    let spec = sandbox.spec;
    // One that was made by other means has an image and no template.
    let image = spec.image.as_str();
    let (template_id, slug, version) = match spec.template {
        Some(origin) => (origin.id.into(), origin.name, origin.version),
        None => (with_prefix(image, "tpl"), spec.image_name, 1),
    };
    wire::Sandbox {
        id: sandbox.id.into(),
        org_id: ctx.principal.org.to_string(),
        project_id: sandbox.project.into(),
        status,
        template_id,
        template_slug: slug,
        template_version: version.to_string(),
        template_version_id: match spec.template_version {
            Some(id) => id.into(),
            None => with_prefix(image, "tplv"),
        },
        ttl_ms: sandbox
            .ttl
            .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        expires_at: sandbox.expires_at.map(time),
        metadata: spec.metadata,
        created_at: time(sandbox.created_at),
        destroyed_at: sandbox.ended_at.filter(|_| destroyed).map(time),
        destroyed_reason: destroyed.then(|| destroyed_reason(reason)),
    }
}

/// `ready` is one that nothing was done in yet.
fn status(sandbox: &Sandbox) -> &'static str {
    match sandbox.state {
        SandboxState::Creating => "creating",
        SandboxState::Running if sandbox.running_commands > 0 => "running",
        SandboxState::Running if Some(sandbox.last_active_at) == sandbox.running_since => "ready",
        SandboxState::Running | SandboxState::Suspended | SandboxState::Stopped => "idle",
        SandboxState::Failed => "failed",
        SandboxState::Destroyed => "destroyed",
    }
}

const fn destroyed_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Requested => "user_killed",
        EndReason::TtlExpired => "ttl_expired",
        EndReason::IdleExpired => "idle_expired",
        EndReason::BootFailed
        | EndReason::Lost
        | EndReason::OutOfMemory
        | EndReason::OutOfDisk
        | EndReason::MainExited => "platform_cleanup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_an_end_is_one_of_the_vendors() {
        let known = [
            "user_killed",
            "ttl_expired",
            "idle_expired",
            "platform_cleanup",
        ];
        for reason in EndReason::ALL {
            assert!(known.contains(&destroyed_reason(reason)));
        }
    }
}
