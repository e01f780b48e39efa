//! Metering: what was used, added up over time.

use crate::Time;
use crate::id::{ProjectId, SandboxId};

/// What one sandbox used from `from` to `to`. Records of one sandbox never overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    pub sandbox: SandboxId,
    pub project: ProjectId,
    pub from: Time,
    pub to: Time,
    /// Reserved vCPU x time running: thousandths of a vCPU x milliseconds.
    pub vcpu_millis_ms: u64,
    /// Reserved memory x time running, in MiB x milliseconds.
    pub memory_mib_ms: u64,
    pub wall_ms: u64,
    /// CPU really used, as the kernel counted.
    pub cpu_used_us: u64,
}

/// The same, added up over a project and a period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UsageTotals {
    pub sandboxes: u64,
    pub live_sandboxes: u64,
    pub vcpu_seconds: f64,
    pub memory_gib_seconds: f64,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

/// What a sandbox uses at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub cpu_used_us: u64,
    pub processes: u64,
    pub disk_bytes: u64,
    pub oom_kills: u64,
}
