//! Usage.

use std::time::Duration;

use pinfold_engine::{SandboxUsage, SandboxUsed};
use pinfold_model::usage::{LifeUsage, UsageTotals};
use pinfold_model::{Error, ProjectId, Result, Time};
use pinfold_wire as wire;

use super::quantity::{parse_time, time};

/// The period when the caller does not name its beginning.
const PERIOD_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) fn used(used: SandboxUsed) -> wire::Gauge {
    let gauge = used.now;
    wire::Gauge {
        life: life(used.life),
        memory_bytes: gauge.memory_bytes,
        memory_peak_bytes: gauge.memory_peak_bytes,
        cpu_used_us: gauge.cpu_used_us,
        processes: gauge.processes,
        disk_bytes: gauge.disk_bytes,
        oom_kills: gauge.oom_kills,
    }
}

fn life(life: LifeUsage) -> wire::LifeUsage {
    wire::LifeUsage {
        from: time(life.from),
        to: life.to.map(time),
        elapsed_seconds: life.elapsed.as_secs_f64(),
        running_seconds: life.running.as_secs_f64(),
        vcpu_seconds: life.vcpu_seconds(),
        memory_gib_seconds: life.memory_gib_seconds(),
        disk_gib_seconds: life.disk_gib_seconds(),
    }
}

/// From inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Time,
    pub(crate) to: Time,
}

/// The last 30 days up to now, as far as the caller does not say otherwise.
pub(crate) fn period(from: Option<&str>, to: Option<&str>, now: Time) -> Result<Period> {
    let to = to.map_or(Ok(now), |text| parse_time("to", text))?;
    let from = match from {
        Some(text) => parse_time("from", text)?,
        None => to
            .checked_sub(PERIOD_DEFAULT)
            .map_err(|_| Error::invalid("to", "to is too long ago"))?,
    };
    Ok(Period { from, to })
}

pub(crate) fn totals(project: &ProjectId, period: Period, totals: UsageTotals) -> wire::Usage {
    wire::Usage {
        project_id: project.to_string(),
        from: time(period.from),
        to: time(period.to),
        sandboxes: totals.sandboxes,
        live_sandboxes: totals.live_sandboxes,
        vcpu_seconds: totals.vcpu_seconds,
        memory_gib_seconds: totals.memory_gib_seconds,
        wall_seconds: totals.wall_seconds,
        cpu_seconds: totals.cpu_seconds,
    }
}

pub(crate) fn of_sandbox(usage: SandboxUsage) -> wire::SandboxUsage {
    wire::SandboxUsage {
        sandbox_id: usage.sandbox.into(),
        vcpu_seconds: usage.vcpu_seconds,
        memory_gib_seconds: usage.memory_gib_seconds,
        wall_seconds: usage.wall_seconds,
        cpu_seconds: usage.cpu_seconds,
    }
}
