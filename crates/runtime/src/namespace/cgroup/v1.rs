//! Limits and readings in a v1 hierarchy, whatever controllers it holds.

use std::io;
use std::path::Path;

use pinfold_model::Resources;
use pinfold_model::usage::Gauge;

use super::layout::Hierarchy;
use super::{field, number, optional, quota_us, set};

pub(super) fn limit(of: &Hierarchy, directory: &Path, limits: &Resources) -> io::Result<()> {
    if of.has("memory") {
        let bytes = u64::from(limits.memory_mib) << 20;
        set(directory, "memory.limit_in_bytes", bytes)?;
        // Memory and swap together, where swap is counted: the same bound, so no swap.
        optional(set(directory, "memory.memsw.limit_in_bytes", bytes))?;
    }
    // Without fair-group bandwidth the kernel has no such files. The period is the kernel's own.
    if of.has("cpu") {
        optional(set(directory, "cpu.cfs_quota_us", quota_us(limits)))?;
    }
    if of.has("pids") {
        set(directory, "pids.max", limits.pids)?;
    }
    Ok(())
}

/// The freezer works asynchronously on v1: writes are repeated until the state is reached.
pub(super) fn set_frozen(directory: &Path, frozen: bool) -> io::Result<()> {
    const TRIES: u32 = 2000;
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    if is(directory, wanted) {
        return Ok(());
    }
    for _ in 0..TRIES {
        set(directory, "freezer.state", wanted)?;
        if is(directory, wanted) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the freezer did not reach {wanted}"),
    ))
}

fn is(directory: &Path, state: &str) -> bool {
    super::read(directory, "freezer.state").is_some_and(|now| now.trim() == state)
}

pub(super) fn read(of: &Hierarchy, directory: &Path, gauge: &mut Gauge) {
    if of.has("memory")
        && let Some(bytes) = number(directory, "memory.usage_in_bytes")
    {
        gauge.memory_bytes = bytes;
        gauge.memory_peak_bytes = number(directory, "memory.max_usage_in_bytes").unwrap_or(bytes);
        gauge.oom_kills = field(directory, "memory.oom_control", "oom_kill").unwrap_or(0);
    }
    if let Some(microseconds) = cpu_used_us(of, directory) {
        gauge.cpu_used_us = microseconds;
    }
    if of.has("pids")
        && let Some(processes) = number(directory, "pids.current")
    {
        gauge.processes = processes;
    }
}

pub(super) fn cpu_used_us(of: &Hierarchy, directory: &Path) -> Option<u64> {
    let nanoseconds = of
        .has("cpuacct")
        .then(|| number(directory, "cpuacct.usage"))??;
    Some(nanoseconds / 1000)
}
