//! Metering records and, per sandbox, the mark up to which they reach.
//!
//! The mark moves in the transaction that appends the record. A meter that crashes anywhere reads
//! the mark again and goes on from there: nothing is counted twice, nothing is left out.

use pinfold_model::usage::{UsageRecord, UsageTotals};
use pinfold_model::{ProjectId, SandboxId, Time};

use crate::db::{Db, Query, Row, Sql, Tx, statements};
use crate::error::{Result, Thing};
use crate::page::{Page, PageRequest};

/// Repository of usage.
#[derive(Debug, Clone, Copy)]
pub struct Usage<'a> {
    db: &'a Db,
}

/// Up to where a sandbox was metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageMark {
    pub metered_to: Time,
    /// What the sandbox's CPU counter, which counts from its boot, showed then.
    pub cpu_counter_us: u64,
}

/// What an append found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    Appended,
    /// The record begins before the mark: that time is counted already. Nothing changed.
    AlreadyCounted,
}

macro_rules! columns {
    () => {
        "sandbox_id, project_id, from_at, to_at, vcpu_millis_ms, memory_mib_ms, wall_ms, cpu_used_us"
    };
}

statements! {
    INSERT = Sql::both(concat!(
        "INSERT INTO usage_records (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (sandbox_id, from_at) DO NOTHING"
    ));
    ADVANCE = Sql::both(
        "INSERT INTO usage_marks (sandbox_id, metered_to, cpu_counter_us) VALUES ($1, $2, $3) \
         ON CONFLICT (sandbox_id) DO UPDATE \
         SET metered_to = excluded.metered_to, cpu_counter_us = excluded.cpu_counter_us \
         WHERE usage_marks.metered_to <= $4 \
         RETURNING sandbox_id",
    );
    MARK = Sql::both("SELECT metered_to, cpu_counter_us FROM usage_marks WHERE sandbox_id = $1");
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM usage_records \
         WHERE sandbox_id = $1 AND (from_at, sandbox_id) < ($2, $3) \
         ORDER BY from_at DESC LIMIT $4"
    ));
    TOTALS = Sql::both(
        "SELECT COUNT(DISTINCT sandbox_id) AS sandboxes, \
             (SELECT COUNT(*) FROM sandboxes WHERE project_id = $1 AND live = 1) AS live, \
             COALESCE(SUM(CAST(vcpu_millis_ms AS DOUBLE PRECISION)), 0.0) AS vcpu_millis_ms, \
             COALESCE(SUM(CAST(memory_mib_ms AS DOUBLE PRECISION)), 0.0) AS memory_mib_ms, \
             COALESCE(SUM(CAST(wall_ms AS DOUBLE PRECISION)), 0.0) AS wall_ms, \
             COALESCE(SUM(CAST(cpu_used_us AS DOUBLE PRECISION)), 0.0) AS cpu_used_us \
         FROM usage_records WHERE project_id = $1 AND from_at >= $2 AND from_at < $3",
    );
    RESERVED = Sql::both(
        "SELECT CAST(COALESCE(SUM(vcpu_millis_ms), 0) AS BIGINT) AS vcpu_millis_ms \
         FROM usage_records WHERE sandbox_id = $1",
    );
    // Sandboxes that existed in the period, used or not.
    BY_SANDBOX = Sql::both(
        "SELECT s.id AS sandbox_id, s.created_at AS created_at, \
             CAST(COUNT(u.sandbox_id) AS BIGINT) AS sandboxes, \
             CAST(MAX(s.live) AS BIGINT) AS live, \
             COALESCE(SUM(CAST(u.vcpu_millis_ms AS DOUBLE PRECISION)), 0.0) AS vcpu_millis_ms, \
             COALESCE(SUM(CAST(u.memory_mib_ms AS DOUBLE PRECISION)), 0.0) AS memory_mib_ms, \
             COALESCE(SUM(CAST(u.wall_ms AS DOUBLE PRECISION)), 0.0) AS wall_ms, \
             COALESCE(SUM(CAST(u.cpu_used_us AS DOUBLE PRECISION)), 0.0) AS cpu_used_us \
         FROM sandboxes s LEFT JOIN usage_records u \
             ON u.sandbox_id = s.id AND u.from_at >= $5 AND u.from_at < $6 \
         WHERE s.project_id = $1 AND (s.created_at, s.id) < ($2, $3) \
             AND s.created_at < $6 AND (s.ended_at IS NULL OR s.ended_at >= $5) \
         GROUP BY s.id, s.created_at ORDER BY s.created_at DESC, s.id DESC LIMIT $4",
    );
}

impl<'a> Usage<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Appends records without regard to marks, all or none. One whose sandbox and beginning are
    /// known is left as it is, so appending can be repeated.
    pub async fn append(&self, records: &[UsageRecord]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for record in records {
            let done = tx.execute(bind_record(record)).await;
            done.map_err(|e| e.on_missing(Thing::Sandbox, record.sandbox.as_str()))?;
        }
        tx.commit().await
    }

    /// Appends a record that begins at or after the sandbox's mark, and moves the mark to its end,
    /// both or neither. `cpu_counter_us` is what the sandbox's CPU counter shows at that end.
    pub async fn append_and_advance(
        &self,
        record: &UsageRecord,
        cpu_counter_us: u64,
    ) -> Result<Metered> {
        let mut tx = self.db.begin().await?;
        let metered = append_and_advance_in(&mut tx, record, cpu_counter_us).await?;
        if metered == Metered::Appended {
            tx.commit().await?;
        }
        Ok(metered)
    }

    /// `None` before the first record.
    pub async fn mark(&self, sandbox: &SandboxId) -> Result<Option<UsageMark>> {
        let row = self.db.row(MARK.bind(sandbox.as_str())).await?;
        row.as_ref().map(to_mark).transpose()
    }

    /// Reserved vCPU x time running of a sandbox's whole life, as far as it is recorded: thousandths of
    /// a vCPU x milliseconds.
    pub async fn reserved(&self, sandbox: &SandboxId) -> Result<u64> {
        let rows = self.db.rows(RESERVED.bind(sandbox.as_str())).await?;
        rows.first()
            .map_or(Ok(0), |row| row.number("vcpu_millis_ms"))
    }

    pub async fn list(&self, sandbox: &SandboxId, page: &PageRequest) -> Result<Page<UsageRecord>> {
        let (at, id) = page.after();
        let list = LIST.bind(sandbox.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("from_at", "sandbox_id"), to_record)
    }

    /// What a project used from `from` (included) to `to` (not included). A record counts as a
    /// whole where it begins. `live_sandboxes` is as of now.
    pub async fn totals(&self, project: &ProjectId, from: Time, to: Time) -> Result<UsageTotals> {
        let totals = TOTALS.bind(project.as_str()).bind(from).bind(to);
        // All that a project used in that time is added up.
        let row = self.db.rows(totals).await?.into_iter().next();
        row.as_ref().map_or(Ok(UsageTotals::default()), to_totals)
    }

    /// What each sandbox of a project that existed in the period used in it, newest sandbox first.
    pub async fn by_sandbox(
        &self,
        project: &ProjectId,
        from: Time,
        to: Time,
        page: &PageRequest,
    ) -> Result<Page<(SandboxId, UsageTotals)>> {
        let (at, id) = page.after();
        let list = BY_SANDBOX
            .bind(project.as_str())
            .bind(at)
            .bind(id)
            .bind(page.fetch());
        let rows = self.db.rows(list.bind(from).bind(to)).await?;
        Page::from_rows(page, &rows, ("created_at", "sandbox_id"), |row| {
            let sandbox = row.parse("sandbox_id")?;
            let mut totals = to_totals(row)?;
            totals.sandboxes = totals.sandboxes.min(1);
            Ok((sandbox, totals))
        })
    }
}

pub(crate) async fn append_and_advance_in(
    tx: &mut Tx,
    record: &UsageRecord,
    cpu_counter_us: u64,
) -> Result<Metered> {
    let advance = ADVANCE
        .bind(record.sandbox.as_str())
        .bind(record.to)
        .bind(cpu_counter_us)
        .bind(record.from);
    let moved = tx.row(advance).await;
    let moved = moved.map_err(|e| e.on_missing(Thing::Sandbox, record.sandbox.as_str()))?;
    if moved.is_none() {
        return Ok(Metered::AlreadyCounted);
    }
    tx.execute(bind_record(record)).await?;
    Ok(Metered::Appended)
}

fn bind_record(record: &UsageRecord) -> Query {
    INSERT
        .bind(record.sandbox.as_str())
        .bind(record.project.as_str())
        .bind(record.from)
        .bind(record.to)
        .bind(record.vcpu_millis_ms)
        .bind(record.memory_mib_ms)
        .bind(record.wall_ms)
        .bind(record.cpu_used_us)
}

fn to_record(row: &Row) -> Result<UsageRecord> {
    Ok(UsageRecord {
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        from: row.time("from_at")?,
        to: row.time("to_at")?,
        vcpu_millis_ms: row.number("vcpu_millis_ms")?,
        memory_mib_ms: row.number("memory_mib_ms")?,
        wall_ms: row.number("wall_ms")?,
        cpu_used_us: row.number("cpu_used_us")?,
    })
}

fn to_mark(row: &Row) -> Result<UsageMark> {
    Ok(UsageMark {
        metered_to: row.time("metered_to")?,
        cpu_counter_us: row.number("cpu_counter_us")?,
    })
}

fn to_totals(row: &Row) -> Result<UsageTotals> {
    const MIB_MS_PER_GIB_S: f64 = 1024.0 * 1e3;
    Ok(UsageTotals {
        sandboxes: row.number("sandboxes")?,
        live_sandboxes: row.number("live")?,
        vcpu_seconds: row.real("vcpu_millis_ms")? / 1e6,
        memory_gib_seconds: row.real("memory_mib_ms")? / MIB_MS_PER_GIB_S,
        wall_seconds: row.real("wall_ms")? / 1e3,
        cpu_seconds: row.real("cpu_used_us")? / 1e6,
    })
}
