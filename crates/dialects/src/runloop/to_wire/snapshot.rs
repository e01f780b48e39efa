//! Disk snapshots.

use pinfold_model::Snapshot;

use super::time;
use crate::runloop::{ids, wire};

pub(in crate::runloop) fn snapshot(snapshot: Snapshot) -> wire::Snapshot {
    wire::Snapshot {
        id: ids::of_snapshot(&snapshot.image),
        create_time_ms: time(snapshot.created_at),
        source_devbox_id: ids::of_devbox(&snapshot.sandbox),
        name: snapshot.name,
        commit_message: snapshot.message,
        metadata: snapshot.metadata,
    }
}

pub(in crate::runloop) fn snapshot_status(found: Snapshot) -> wire::SnapshotStatus {
    match found.deleted_at {
        Some(_) => wire::SnapshotStatus {
            status: "deleted",
            snapshot: None,
        },
        None => wire::SnapshotStatus {
            status: "complete",
            snapshot: Some(snapshot(found)),
        },
    }
}
