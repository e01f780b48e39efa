//! Which scope a key needs for a use case, by the name of its action.
//!
//! What a use case touches beside its own kind of things (objects that are mounted, secrets that a
//! sandbox gets, what a signed link opens) it asks for where it finds out.

use pinfold_model::{Code, Ctx, Error, Level, Resource, Result, Scopes};

/// The last words of actions that only look.
const LOOKS: &[&str] = &[
    "archive",
    "context_get",
    "context_list",
    "export",
    "follow",
    "get",
    "list",
    "logs",
    "month",
    "network",
    "output",
    "project",
    "read",
    "report",
    "run_get",
    "sandboxes",
    "stat",
    "tail",
    "text",
    "usage",
    "versions",
    "wait",
    "watch",
];

/// Lets a caller through whose key has no scopes, or the one that the action needs.
pub(super) fn admit(ctx: &Ctx, action: &str) -> Result<()> {
    if ctx.principal.scopes == Scopes::All || action == "link.sign" {
        return Ok(());
    }
    match need(action) {
        Some((resource, level)) => ctx.require(resource, level),
        None => Err(Error::new(
            Code::PermissionDenied,
            "this needs a key without scopes",
        )),
    }
}

/// `None` for what no scope covers.
fn need(action: &str) -> Option<(Resource, Level)> {
    let (of, what) = action.split_once('.')?;
    let resource = match (of, what) {
        ("sandbox", "snapshot") | ("snapshot", _) => Resource::Snapshots,
        (
            "sandbox" | "command" | "file" | "code" | "preview" | "tunnel" | "terminal" | "ssh"
            | "ssh_key" | "pipeline",
            _,
        ) => Resource::Sandboxes,
        ("image" | "template", _) => Resource::Images,
        ("object", _) => Resource::Objects,
        // Who writes a gateway says where secrets go.
        ("secret" | "gateway", _) => Resource::Secrets,
        ("network_policy", _) => Resource::NetworkPolicies,
        ("axon", _) => Resource::Axons,
        ("key" | "project" | "usage" | "audit", _) => Resource::Account,
        _ => return None,
    };
    let last = what.rsplit('.').next().unwrap_or(what);
    let level = match LOOKS.contains(&last) {
        true => Level::Read,
        false => Level::Write,
    };
    Some((resource, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_needs_less_than_using_and_unknown_actions_are_closed() {
        assert_eq!(
            need("sandbox.get"),
            Some((Resource::Sandboxes, Level::Read))
        );
        assert_eq!(
            need("sandbox.network"),
            Some((Resource::Sandboxes, Level::Read))
        );
        assert_eq!(
            need("sandbox.network.set"),
            Some((Resource::Sandboxes, Level::Write))
        );
        assert_eq!(
            need("sandbox.snapshot"),
            Some((Resource::Snapshots, Level::Write))
        );
        assert_eq!(
            need("image.build.list"),
            Some((Resource::Images, Level::Read))
        );
        assert_eq!(need("image.build"), Some((Resource::Images, Level::Write)));
        assert_eq!(need("key.create"), Some((Resource::Account, Level::Write)));
        assert_eq!(need("gateway.list"), Some((Resource::Secrets, Level::Read)));
        assert_eq!(
            need("gateway.change"),
            Some((Resource::Secrets, Level::Write))
        );
        assert_eq!(
            need("sandbox.gateway_token"),
            Some((Resource::Sandboxes, Level::Write))
        );
        assert_eq!(need("weather.get"), None);
    }
}
