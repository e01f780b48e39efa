//! Disk snapshots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

type Texts = BTreeMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct DescribeSnapshot {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) commit_message: Option<String>,
    pub(in crate::runloop) metadata: Option<Texts>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListSnapshots {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) devbox_id: Option<String>,
    pub(in crate::runloop) source_blueprint_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Snapshot {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) source_devbox_id: String,
    /// What that devbox was made from.
    pub(in crate::runloop) source_blueprint_id: Option<String>,
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) commit_message: Option<String>,
    pub(in crate::runloop) metadata: Texts,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SnapshotStatus {
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) snapshot: Option<Snapshot>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Snapshots {
    pub(in crate::runloop) snapshots: Vec<Snapshot>,
    pub(in crate::runloop) has_more: bool,
}
