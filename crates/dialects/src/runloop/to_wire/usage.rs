//! What a devbox used.

use pinfold_engine::SandboxUsed;

use super::{status, time};
use crate::runloop::{ids, wire};

/// Whole seconds, rounded down; a GB is 1024 MiB, as in the vendor's sizes.
pub(in crate::runloop) fn usage(used: &SandboxUsed) -> wire::Usage {
    let life = &used.life;
    wire::Usage {
        id: ids::of_devbox(&used.sandbox.id),
        status: status(&used.sandbox).as_str(),
        start_time_ms: time(life.from),
        end_time_ms: life.to.map(time),
        total_elapsed_seconds: life.elapsed.as_secs(),
        total_active_seconds: life.running.as_secs(),
        vcpu_seconds: life.vcpu_seconds() as u64,
        memory_gb_seconds: life.memory_gib_seconds() as u64,
        disk_gb_seconds: life.disk_gib_seconds() as u64,
    }
}
