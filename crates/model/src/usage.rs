//! Metering: what was used, added up over time.

use std::time::Duration;

use crate::Time;
use crate::id::{ProjectId, SandboxId};
use crate::resources::Resources;

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

/// What one sandbox used from the moment it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeUsage {
    pub from: Time,
    /// When it ended; `None` while it has not.
    pub to: Option<Time>,
    /// Up to its end, or to now.
    pub elapsed: Duration,
    /// Of that, while it ran: neither suspended nor stopped.
    pub running: Duration,
    pub resources: Resources,
}

impl LifeUsage {
    /// Reserved vCPUs x time running.
    #[must_use]
    pub fn vcpu_seconds(&self) -> f64 {
        f64::from(self.resources.vcpu_millis) / 1000.0 * self.running.as_secs_f64()
    }

    /// Reserved memory x time running.
    #[must_use]
    pub fn memory_gib_seconds(&self) -> f64 {
        f64::from(self.resources.memory_mib) / 1024.0 * self.running.as_secs_f64()
    }

    /// What its disk may hold x time since it was made: a disk is there also while nothing runs.
    #[must_use]
    pub fn disk_gib_seconds(&self) -> f64 {
        f64::from(self.resources.disk_mib) / 1024.0 * self.elapsed.as_secs_f64()
    }
}

/// A calendar month in UTC, the period that usage is commonly shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    pub begin: Time,
    /// The beginning of the next one.
    pub end: Time,
}

impl Month {
    /// The month that `at` is in.
    #[must_use]
    pub fn of(at: Time) -> Self {
        let first = at.to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
        let begins = |date: jiff::civil::Date| {
            let midnight = date.to_zoned(jiff::tz::TimeZone::UTC);
            midnight.map_or(at, |midnight| midnight.timestamp())
        };
        let next = first.last_of_month().tomorrow();
        Self {
            begin: begins(first),
            end: begins(next.unwrap_or(first)),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_holds_its_days_and_ends_with_the_next() {
        for (at, begin, end) in [
            (
                "2026-11-22T06:00:00Z",
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                "2026-12-31T23:59:59Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "2028-02-01T00:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
        ] {
            let month = Month::of(at.parse().expect("a time"));
            assert_eq!(month.begin.to_string(), begin);
            assert_eq!(month.end.to_string(), end);
        }
    }
}
