//! Accounts and keys.

use pinfold_engine::CreatedKey;
use pinfold_model::{Level, Project, Resource, Scopes};

use super::time;
use crate::runloop::wire;

/// What there is nothing to say about on one's own machines.
const NONE_OF_YOURS: &str = "UNRECOGNIZED";
/// A level that gives nothing.
pub(in crate::runloop) const NO_ACCESS: &str = "ACCESS_LEVEL_NONE";
pub(in crate::runloop) const LEVELS: [(Level, &str); 2] = [
    (Level::Read, "ACCESS_LEVEL_READ"),
    (Level::Write, "ACCESS_LEVEL_WRITE"),
];
/// Those that the vendor has a name for.
pub(in crate::runloop) const RESOURCES: [(Resource, &str); 5] = [
    (Resource::Sandboxes, "RESOURCE_TYPE_DEVBOXES"),
    (Resource::Images, "RESOURCE_TYPE_BLUEPRINTS"),
    (Resource::Snapshots, "RESOURCE_TYPE_SNAPSHOTS"),
    (Resource::Objects, "RESOURCE_TYPE_OBJECTS"),
    (Resource::Account, "RESOURCE_TYPE_ACCOUNT"),
];

pub(in crate::runloop) fn account(project: Project) -> wire::Account {
    wire::Account {
        id: project.id.into(),
        name: project.name,
        account_status: "ACCOUNT_STATUS_ENABLED",
        tier: NONE_OF_YOURS,
        billing: wire::Billing {
            account_billing_type: NONE_OF_YOURS,
        },
        created_at: project.created_at.to_string(),
    }
}

pub(in crate::runloop) fn created_key(created: CreatedKey) -> wire::CreatedKey {
    let key = created.key;
    wire::CreatedKey {
        id: key.id.into(),
        name: key.name,
        key_secret: created.secret,
        expires_at_ms: key.expires_at.map(time),
        scopes: scopes(&key.scopes),
    }
}

fn scopes(scopes: &Scopes) -> Option<Vec<wire::Scope>> {
    let Scopes::Only(only) = scopes else {
        return None;
    };
    let entries = RESOURCES.iter().filter_map(|(resource, kind)| {
        let held = only.get(resource)?;
        let (_, level) = LEVELS.iter().find(|(level, _)| level == held)?;
        Some(wire::Scope {
            resource_type: Some((*kind).to_owned()),
            access_level: Some((*level).to_owned()),
        })
    });
    Some(entries.collect())
}
