//! What was used.

use serde::{Deserialize, Serialize};

/// What a sandbox uses at this moment, all zero when it does not run, and has used since it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gauge {
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    /// Since the sandbox last started.
    pub cpu_used_us: u64,
    pub processes: u64,
    pub disk_bytes: u64,
    /// Times the kernel ended a process for want of memory.
    pub oom_kills: u64,
    pub life: LifeUsage,
}

/// What a sandbox used from the moment it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LifeUsage {
    pub from: String,
    /// When it ended; `null` while it has not.
    pub to: Option<String>,
    /// Up to its end, or to now.
    pub elapsed_seconds: f64,
    /// Of that, while it ran: neither suspended nor stopped.
    pub running_seconds: f64,
    /// Reserved vCPUs x time running.
    pub vcpu_seconds: f64,
    /// Reserved memory x time running.
    pub memory_gib_seconds: f64,
    /// What its disk may hold x time since it was made.
    pub disk_gib_seconds: f64,
}

/// Usage of the caller's project over a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    pub project_id: String,
    pub from: String,
    pub to: String,
    /// Sandboxes that ran at some time in the period.
    pub sandboxes: u64,
    /// Live ones now.
    pub live_sandboxes: u64,
    /// Reserved vCPUs x time running.
    pub vcpu_seconds: f64,
    /// Reserved memory x time running.
    pub memory_gib_seconds: f64,
    pub wall_seconds: f64,
    /// CPU really used.
    pub cpu_seconds: f64,
}

/// Usage of one sandbox over a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxUsage {
    pub sandbox_id: String,
    pub vcpu_seconds: f64,
    pub memory_gib_seconds: f64,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

/// A period: `from` inclusive, `to` exclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct UsageQuery {
    /// RFC 3339; 30 days before `to` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// RFC 3339; now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListSandboxUsage {
    /// RFC 3339; 30 days before `to` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// RFC 3339; now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
