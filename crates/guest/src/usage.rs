//! What the sandbox uses, seen from inside.

use std::time::Instant;

use pinfold_proto::Usage;

use crate::failure::{Outcome, Refusal};
use crate::tree;

pub(crate) fn measure(booted: Instant) -> Outcome<Usage> {
    let disk = rustix::fs::statvfs("/").map_err(|errno| Refusal::kernel("/", errno))?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    Ok(Usage {
        processes: tree::count(),
        disk_used_bytes: used.saturating_mul(disk.f_frsize),
        disk_total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        uptime_ms: u64::try_from(booted.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}
