//! What a devbox used. Whole seconds.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Usage {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) start_time_ms: i64,
    pub(in crate::runloop) end_time_ms: Option<i64>,
    pub(in crate::runloop) total_elapsed_seconds: u64,
    pub(in crate::runloop) total_active_seconds: u64,
    pub(in crate::runloop) vcpu_seconds: u64,
    pub(in crate::runloop) memory_gb_seconds: u64,
    pub(in crate::runloop) disk_gb_seconds: u64,
}
