//! Limits and readings in the unified hierarchy.

use std::io;
use std::path::Path;

use pinfold_model::Resources;
use pinfold_model::usage::Gauge;

use super::layout::Hierarchy;
use super::{PERIOD_US, field, number, optional, quota_us, set};

pub(super) fn limit(of: &Hierarchy, directory: &Path, limits: &Resources) -> io::Result<()> {
    if of.has("memory") {
        set(directory, "memory.max", u64::from(limits.memory_mib) << 20)?;
        // Not there where swap is not counted.
        optional(set(directory, "memory.swap.max", 0))?;
    }
    if of.has("cpu") {
        let quota = format!("{} {PERIOD_US}", quota_us(limits));
        // Without fair-group bandwidth the kernel has no such file.
        optional(set(directory, "cpu.max", quota))?;
    }
    if of.has("pids") {
        set(directory, "pids.max", limits.pids)?;
    }
    Ok(())
}

pub(super) fn set_frozen(directory: &Path, frozen: bool) -> io::Result<()> {
    const TRIES: u32 = 2000;
    set(directory, "cgroup.freeze", u8::from(frozen))?;
    for _ in 0..TRIES {
        if field(directory, "cgroup.events", "frozen") == Some(u64::from(frozen)) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "the freezer did not finish",
    ))
}

pub(super) fn read(directory: &Path, gauge: &mut Gauge) {
    if let Some(bytes) = number(directory, "memory.current") {
        gauge.memory_bytes = bytes;
        gauge.memory_peak_bytes = number(directory, "memory.peak").unwrap_or(bytes);
        gauge.oom_kills = field(directory, "memory.events", "oom_kill").unwrap_or(0);
    }
    if let Some(microseconds) = cpu_used_us(directory) {
        gauge.cpu_used_us = microseconds;
    }
    if let Some(processes) = number(directory, "pids.current") {
        gauge.processes = processes;
    }
}

pub(super) fn cpu_used_us(directory: &Path) -> Option<u64> {
    field(directory, "cpu.stat", "usage_usec")
}
