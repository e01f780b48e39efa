//! Limits and readings in the unified hierarchy.

use std::io;
use std::path::Path;

use pinfold_model::Resources;
use pinfold_model::usage::Gauge;

use super::{PERIOD_US, field, number, quota_us, set};

pub(super) fn limit(directory: &Path, limits: &Resources) -> io::Result<()> {
    let has = |file: &str| directory.join(file).exists();
    if has("memory.max") {
        set(directory, "memory.max", u64::from(limits.memory_mib) << 20)?;
        if has("memory.swap.max") {
            set(directory, "memory.swap.max", 0)?;
        }
    }
    if has("cpu.max") {
        set(
            directory,
            "cpu.max",
            format!("{} {PERIOD_US}", quota_us(limits)),
        )?;
    }
    if has("pids.max") {
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

pub(super) fn read(directory: &Path, gauge: &mut Gauge) -> io::Result<()> {
    if let Some(bytes) = number(directory, "memory.current") {
        gauge.memory_bytes = bytes;
        gauge.memory_peak_bytes = number(directory, "memory.peak").unwrap_or(bytes);
        gauge.oom_kills = field(directory, "memory.events", "oom_kill").unwrap_or(0);
    }
    if let Some(microseconds) = field(directory, "cpu.stat", "usage_usec") {
        gauge.cpu_used_us = microseconds;
    }
    if let Some(processes) = number(directory, "pids.current") {
        gauge.processes = processes;
    }
    Ok(())
}
