//! Limits and readings in a v1 hierarchy, whatever controllers it holds: each is known by its files.

use std::io;
use std::path::Path;

use pinfold_model::Resources;
use pinfold_model::usage::Gauge;

use super::{PERIOD_US, field, number, quota_us, set};

pub(super) fn limit(directory: &Path, limits: &Resources) -> io::Result<()> {
    let has = |file: &str| directory.join(file).exists();
    if has("memory.limit_in_bytes") {
        let bytes = u64::from(limits.memory_mib) << 20;
        set(directory, "memory.limit_in_bytes", bytes)?;
        // Memory and swap together, where swap is counted: the same bound, so no swap.
        if has("memory.memsw.limit_in_bytes") {
            set(directory, "memory.memsw.limit_in_bytes", bytes)?;
        }
    }
    if has("cpu.cfs_quota_us") {
        set(directory, "cpu.cfs_period_us", PERIOD_US)?;
        set(directory, "cpu.cfs_quota_us", quota_us(limits))?;
    }
    if has("pids.max") {
        set(directory, "pids.max", limits.pids)?;
    }
    Ok(())
}

/// The freezer works asynchronously on v1: writes are repeated until the state is reached.
pub(super) fn set_frozen(directory: &Path, frozen: bool) -> io::Result<()> {
    const TRIES: u32 = 2000;
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    for _ in 0..TRIES {
        set(directory, "freezer.state", wanted)?;
        if std::fs::read_to_string(directory.join("freezer.state"))?.trim() == wanted {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the freezer did not reach {wanted}"),
    ))
}

pub(super) fn read(directory: &Path, gauge: &mut Gauge) -> io::Result<()> {
    if let Some(bytes) = number(directory, "memory.usage_in_bytes") {
        gauge.memory_bytes = bytes;
        gauge.memory_peak_bytes = number(directory, "memory.max_usage_in_bytes").unwrap_or(bytes);
        gauge.oom_kills = field(directory, "memory.oom_control", "oom_kill").unwrap_or(0);
    }
    if let Some(nanoseconds) = number(directory, "cpuacct.usage") {
        gauge.cpu_used_us = nanoseconds / 1000;
    }
    if let Some(processes) = number(directory, "pids.current") {
        gauge.processes = processes;
    }
    Ok(())
}
