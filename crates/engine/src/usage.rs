//! Use cases of usage: what was used, recorded and not yet recorded.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::usage::{Gauge, LifeUsage, Month, UsageTotals};
use pinfold_model::{Ctx, Error, Project, ProjectId, Result, Sandbox, SandboxId, Time};
use pinfold_store::{Page, PageRequest};

use crate::Engine;
use crate::clock::until;

/// How often totals are looked at until nothing moves meanwhile, and the pause between.
const USAGE_LOOKS_MAX: u32 = 5;
const USAGE_LOOK_PAUSE: Duration = Duration::from_millis(5);

/// What one sandbox used over a period.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxUsage {
    pub sandbox: SandboxId,
    pub vcpu_seconds: f64,
    pub memory_gib_seconds: f64,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

/// One sandbox: what it uses at this moment, and has used since it was made.
#[derive(Debug, Clone)]
pub struct SandboxUsed {
    pub sandbox: Sandbox,
    /// All zero when it does not run.
    pub now: Gauge,
    pub life: LifeUsage,
}

/// A project in one calendar month.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectMonth {
    pub project: Project,
    pub month: Month,
    pub used: UsageTotals,
}

impl Engine {
    /// What the caller's project used from `from` (included) to `to` (not included), up to this
    /// moment. CPU really used is counted up to the last record, at most a minute ago.
    pub async fn project_usage(&self, ctx: &Ctx, from: Time, to: Time) -> Result<UsageTotals> {
        self.timed(ctx, "usage.project", async {
            check_period(from, to)?;
            self.totals(&ctx.principal.project, from, to).await
        })
        .await
    }

    /// The caller's project and what it used in this calendar month (UTC) up to now.
    pub async fn project_month(&self, ctx: &Ctx) -> Result<ProjectMonth> {
        self.timed(ctx, "usage.month", async {
            let month = Month::of(self.now());
            let id = &ctx.principal.project;
            let project = self.project_of_org(ctx, id).await?;
            let used = self.totals(id, month.begin, month.end).await?;
            Ok(ProjectMonth {
                project,
                month,
                used,
            })
        })
        .await
    }

    /// Records and meters are looked at one after the other; where something moved from one to the
    /// other meanwhile, both are looked at again, so that totals never fall.
    async fn totals(&self, project: &ProjectId, from: Time, to: Time) -> Result<UsageTotals> {
        let mut looks = 1;
        loop {
            let before = self.usage_stamps(project);
            let mut totals = self.store().usage().totals(project, from, to).await?;
            let now = self.now();
            for live in self.inner.registry.sandboxes_of(project) {
                live.add_usage(&mut totals, from, to, now);
            }
            let settled = before.is_some() && before == self.usage_stamps(project);
            if !settled && looks == USAGE_LOOKS_MAX {
                tracing::debug!(%project, looks, "usage kept moving while it was looked at");
            }
            if settled || looks == USAGE_LOOKS_MAX {
                return Ok(totals);
            }
            looks += 1;
            tokio::time::sleep(USAGE_LOOK_PAUSE).await;
        }
    }

    /// What a sandbox uses and has used, live or ended.
    pub async fn sandbox_used(&self, ctx: &Ctx, id: &SandboxId) -> Result<SandboxUsed> {
        self.timed(ctx, "sandbox.usage", async {
            let (sandbox, now) = match self.live(ctx, id).await? {
                Some(live) => (live.sandbox(), live.gauge().await?),
                None => (self.recorded_sandbox(ctx, id).await?, Gauge::default()),
            };
            let running = self.running_time(&sandbox).await?;
            let end = sandbox.ended_at.unwrap_or_else(|| self.now());
            let life = LifeUsage {
                from: sandbox.created_at,
                to: sandbox.ended_at,
                elapsed: until(sandbox.created_at, end),
                running,
                resources: sandbox.spec.resources,
            };
            Ok(SandboxUsed { sandbox, now, life })
        })
        .await
    }

    /// From the records of its meter and what is not recorded yet, looked at as in
    /// [`Engine::totals`].
    async fn running_time(&self, sandbox: &Sandbox) -> Result<Duration> {
        // The reserved CPU of a sandbox never changes, so this gives the time back exactly.
        let vcpu_millis = u64::from(sandbox.spec.resources.vcpu_millis.max(1));
        let live = || self.inner.registry.sandbox(&sandbox.id);
        let stamp = || live().map(|live| live.usage_stamp());
        let mut looks = 1;
        loop {
            let before = stamp();
            let reserved = self.store().usage().reserved(&sandbox.id).await?;
            let now = self.now();
            let unrecorded = live().map(|live| live.unrecorded_running(now));
            let settled = before != Some(None) && before == stamp();
            if settled || looks == USAGE_LOOKS_MAX {
                let recorded = Duration::from_millis(reserved / vcpu_millis);
                return Ok(recorded + unrecorded.unwrap_or_default());
            }
            looks += 1;
            tokio::time::sleep(USAGE_LOOK_PAUSE).await;
        }
    }

    /// `None` while a record is being written.
    fn usage_stamps(&self, project: &ProjectId) -> Option<BTreeMap<SandboxId, u64>> {
        let live = self.inner.registry.sandboxes_of(project);
        live.iter()
            .map(|live| Some((live.id().clone(), live.usage_stamp()?)))
            .collect()
    }

    /// The same for each sandbox, newest sandbox first. Each page covers all sandboxes of the
    /// project, also those that used nothing in the period.
    pub async fn sandbox_usage(
        &self,
        ctx: &Ctx,
        from: Time,
        to: Time,
        page: &PageRequest,
    ) -> Result<Page<SandboxUsage>> {
        self.timed(ctx, "usage.sandboxes", async {
            check_period(from, to)?;
            let project = &ctx.principal.project;
            let found = self
                .store()
                .usage()
                .by_sandbox(project, from, to, page)
                .await?;
            let now = self.now();
            let items = found.items.into_iter().map(|(sandbox, mut totals)| {
                if let Some(live) = self.inner.registry.sandbox(&sandbox) {
                    live.add_usage(&mut totals, from, to, now);
                }
                of_sandbox(sandbox, &totals)
            });
            Ok(Page {
                items: items.collect(),
                next: found.next,
            })
        })
        .await
    }
}

fn of_sandbox(sandbox: SandboxId, totals: &UsageTotals) -> SandboxUsage {
    SandboxUsage {
        sandbox,
        vcpu_seconds: totals.vcpu_seconds,
        memory_gib_seconds: totals.memory_gib_seconds,
        wall_seconds: totals.wall_seconds,
        cpu_seconds: totals.cpu_seconds,
    }
}

fn check_period(from: Time, to: Time) -> Result<()> {
    if from < to {
        return Ok(());
    }
    Err(Error::invalid("from", "a period ends after it begins"))
}
