//! What a live sandbox has used since its last usage record.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pinfold_model::usage::{UsageRecord, UsageTotals};
use pinfold_model::{ProjectId, Resources, Sandbox, SandboxId, Time};

use crate::clock::until;

/// One sandbox's meter. The record of what it counts is written by the owner; use cases read what
/// is not recorded yet.
pub(crate) struct Meter {
    sandbox: SandboxId,
    project: ProjectId,
    resources: Resources,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// Counting from here, at this rate; `None` while nothing is used.
    running: Option<(Time, Rate)>,
    /// What the CPU counter showed at the end of the last record.
    cpu_counter_us: u64,
    last_record_from: Option<Time>,
    /// Changes with everything above.
    version: u64,
    /// A record is being written, so for a moment the store may hold what is counted here too.
    writing: bool,
}

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// CPU, memory and time.
    Running,
    /// Memory and time: a frozen sandbox has no CPU.
    Frozen,
}

impl Meter {
    pub(super) fn new(sandbox: &Sandbox) -> Self {
        Self {
            sandbox: sandbox.id.clone(),
            project: sandbox.project.clone(),
            resources: sandbox.spec.resources,
            state: Mutex::new(State {
                running: None,
                cpu_counter_us: 0,
                last_record_from: None,
                version: 0,
                writing: false,
            }),
        }
    }

    /// Counts from `at` on, at the rate of the sandbox's state.
    pub(super) fn count_from(&self, at: Time, rate: Option<Rate>) {
        let mut state = self.state();
        state.running = rate.map(|rate| (at, rate));
        state.version += 1;
    }

    pub(super) fn set_cpu_counter(&self, counter_us: u64) {
        self.state().cpu_counter_us = counter_us;
    }

    /// A record of what was used up to `to`, when the CPU counter shows `cpu_counter_us` (`None`
    /// where it cannot be read), and the counter to go on from. `None` when nothing was used.
    pub(super) fn reading(
        &self,
        to: Time,
        cpu_counter_us: Option<u64>,
    ) -> Option<(UsageRecord, u64)> {
        let state = *self.state();
        let (from, rate) = state.running?;
        let mut record = self.record(from, to, rate)?;
        let counter = cpu_counter_us.unwrap_or(state.cpu_counter_us);
        // A counter that went back belongs to a later boot and began again at zero.
        record.cpu_used_us = counter.checked_sub(state.cpu_counter_us).unwrap_or(counter);
        Some((record, counter))
    }

    /// A record is about to be written; [`Meter::written`] says that this is over.
    pub(super) fn writing(&self) {
        self.state().writing = true;
    }

    pub(super) fn written(&self) {
        let mut state = self.state();
        state.writing = false;
        state.version += 1;
    }

    /// Equal stamps around a look at the store: what is counted here and what is recorded there fit
    /// together. `None` while they may not.
    pub(crate) fn stamp(&self) -> Option<u64> {
        let state = self.state();
        (!state.writing).then_some(state.version)
    }

    /// `record` is written: goes on from its end.
    pub(super) fn recorded(&self, record: &UsageRecord, cpu_counter_us: u64) {
        let mut state = self.state();
        if let Some((from, _)) = &mut state.running {
            *from = (*from).max(record.to);
        }
        state.cpu_counter_us = cpu_counter_us;
        state.last_record_from = Some(record.from);
    }

    /// Adds what is not recorded yet to totals of the period from `from` to `to`. Like a record it
    /// counts where it begins.
    pub(crate) fn add_to(&self, totals: &mut UsageTotals, from: Time, to: Time, now: Time) {
        let state = *self.state();
        let Some((begin, rate)) = state.running else {
            return;
        };
        if begin < from || begin >= to {
            return;
        }
        let Some(record) = self.record(begin, now, rate) else {
            return;
        };
        totals.vcpu_seconds += record.vcpu_millis_ms as f64 / 1e6;
        totals.memory_gib_seconds += record.memory_mib_ms as f64 / 1024.0 / 1e3;
        totals.wall_seconds += record.wall_ms as f64 / 1e3;
        if state.last_record_from.is_none_or(|last| last < from) {
            totals.sandboxes += 1;
        }
    }

    /// How long it has been running beside what is recorded.
    pub(crate) fn running(&self, now: Time) -> Duration {
        match self.state().running {
            Some((begin, Rate::Running)) => until(begin, now),
            Some((_, Rate::Frozen)) | None => Duration::ZERO,
        }
    }

    fn record(&self, from: Time, to: Time, rate: Rate) -> Option<UsageRecord> {
        let wall = until(from, to);
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        if wall.is_zero() {
            return None;
        }
        let vcpu_millis = match rate {
            Rate::Running => u64::from(self.resources.vcpu_millis),
            Rate::Frozen => 0,
        };
        Some(UsageRecord {
            sandbox: self.sandbox.clone(),
            project: self.project.clone(),
            from,
            to,
            vcpu_millis_ms: vcpu_millis.saturating_mul(wall_ms),
            memory_mib_ms: u64::from(self.resources.memory_mib).saturating_mul(wall_ms),
            wall_ms,
            cpu_used_us: 0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}
