//! Disk snapshots.

use std::collections::BTreeMap;

use pinfold_model::{Sandbox, SandboxId, Snapshot};

use super::time;
use crate::runloop::{ids, wire};

/// The sandboxes that snapshots were taken of.
pub(in crate::runloop) type Origins = BTreeMap<SandboxId, Sandbox>;

/// The blueprint that the snapshot's devbox was made from.
pub(in crate::runloop) fn source_blueprint(
    snapshot: &Snapshot,
    origins: &Origins,
) -> Option<String> {
    let origin = origins.get(&snapshot.sandbox)?;
    wire::Kept::of(&origin.spec.more.annotations).blueprint_id
}

pub(in crate::runloop) fn snapshot(snapshot: Snapshot, origins: &Origins) -> wire::Snapshot {
    wire::Snapshot {
        id: ids::of_snapshot(&snapshot.image),
        create_time_ms: time(snapshot.created_at),
        source_devbox_id: ids::of_devbox(&snapshot.sandbox),
        source_blueprint_id: source_blueprint(&snapshot, origins),
        name: snapshot.name,
        commit_message: snapshot.message,
        metadata: snapshot.metadata,
    }
}

pub(in crate::runloop) fn snapshot_status(
    found: Snapshot,
    origins: &Origins,
) -> wire::SnapshotStatus {
    match found.deleted_at {
        Some(_) => wire::SnapshotStatus {
            status: "deleted",
            snapshot: None,
        },
        None => wire::SnapshotStatus {
            status: "complete",
            snapshot: Some(snapshot(found, origins)),
        },
    }
}
