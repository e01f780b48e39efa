//! Use cases of usage: what was used, recorded and not yet recorded.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::usage::{Month, UsageTotals};
use pinfold_model::{Ctx, Error, Project, ProjectId, Result, SandboxId, Time};
use pinfold_store::{Page, PageRequest};

use crate::Engine;

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
        self.timed("usage.project", async {
            check_period(from, to)?;
            self.totals(&ctx.principal.project, from, to).await
        })
        .await
    }

    /// The caller's project and what it used in this calendar month (UTC) up to now.
    pub async fn project_month(&self, ctx: &Ctx) -> Result<ProjectMonth> {
        self.timed("usage.month", async {
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
        self.timed("usage.sandboxes", async {
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
