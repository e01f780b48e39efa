//! Sandboxes that do nothing: how long until their guest has answered, and what they hold.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pinfold_model::SandboxId;
use serde_json::{Value, json};

use crate::pinfold::Pinfold;

/// So many share the pages of the guest's program.
const SANDBOXES: usize = 30;

/// One sample a sandbox.
pub(crate) struct Idle {
    start: Vec<Duration>,
    /// The guest's proportional share of memory.
    guest_kib: Vec<u64>,
    /// What the kernel counts for the whole sandbox, its own structures included where it counts them.
    sandbox_kib: Vec<u64>,
}

/// Makes the sandboxes, looks at them when all are there, and destroys them.
pub(crate) async fn measure(pinfold: &Pinfold) -> Result<Idle> {
    let (mut ids, mut start) = (Vec::new(), Vec::new());
    for _ in 0..SANDBOXES {
        let since = Instant::now();
        ids.push(pinfold.create().await?);
        start.push(since.elapsed());
    }
    let (mut guest_kib, mut sandbox_kib) = (Vec::new(), Vec::new());
    for id in &ids {
        guest_kib.push(proportional_kib(guest_of(id)?)?);
        sandbox_kib.push(pinfold.memory_bytes(id).await? >> 10);
    }
    for id in &ids {
        pinfold.destroy(id).await?;
    }
    Ok(Idle {
        start,
        guest_kib,
        sandbox_kib,
    })
}

impl Idle {
    pub(crate) fn lines(&self) -> String {
        let start: Vec<u64> = self.start.iter().map(|took| micros(*took)).collect();
        format!(
            "idle sandboxes, {SANDBOXES} at once (medians)\n\
             created and its guest has answered  {:.2} ms (engine)\n\
             memory of the guest                 {} KiB (proportional share)\n\
             memory of the sandbox               {} KiB (as its cgroup counts it)\n",
            median(start) as f64 / 1000.0,
            median(self.guest_kib.clone()),
            median(self.sandbox_kib.clone()),
        )
    }

    pub(crate) fn json(&self) -> Value {
        let start: Vec<u64> = self.start.iter().map(|took| micros(*took)).collect();
        json!({
            "start_us": start,
            "guest_kib": self.guest_kib,
            "sandbox_kib": self.sandbox_kib,
        })
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or(0)
}

/// The guest's process, by its name and its cgroup, which is named after the sandbox.
fn guest_of(id: &SandboxId) -> Result<u32> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(pid) = pid
            && read("comm").trim() == "pinfold-guest"
            && read("cgroup").contains(id.as_str())
        {
            return Ok(pid);
        }
    }
    anyhow::bail!("no guest of {id} is there")
}

fn proportional_kib(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.context("the kernel does not say what the guest holds")
}
