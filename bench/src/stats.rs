//! Samples, and how they are shown.

use std::time::Duration;

use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::contenders::Kind;

/// The samples of one contender.
pub(crate) struct Series {
    name: String,
    clock: &'static str,
    kinds: &'static [Kind],
    micros: Vec<u64>,
}

impl Series {
    pub(crate) fn new(name: &str, clock: &'static str, kinds: &'static [Kind]) -> Self {
        Self {
            name: name.to_owned(),
            clock,
            kinds,
            micros: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, took: Duration) {
        self.micros
            .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The value that this share of the samples does not exceed (nearest rank).
    fn percentile(&self, share: f64) -> u64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// One row a contender, fastest first, with how the first of Pinfold's own compares to it.
pub(crate) fn table(series: &[Series], kind: Kind) -> Table {
    let mut rows: Vec<&Series> = series.iter().filter(|s| s.kinds.contains(&kind)).collect();
    rows.sort_by_key(|s| s.percentile(0.5));
    let ours = rows
        .iter()
        .find(|s| s.name == "pinfold")
        .map_or(0, |s| s.percentile(0.5));
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "",
        "clock",
        "min ms",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "pinfold / it",
    ]);
    for row in rows {
        let ms = |micros: u64| format!("{:.2}", micros as f64 / 1000.0);
        let p50 = row.percentile(0.5);
        table.add_row([
            row.name.clone(),
            row.clock.to_owned(),
            ms(row.percentile(0.0)),
            ms(p50),
            ms(row.percentile(0.9)),
            ms(row.percentile(0.99)),
            format!("{:.2}", ours as f64 / p50.max(1) as f64),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(crate) fn json(series: &[Series]) -> Value {
    let one = |s: &Series| {
        let kinds: Vec<_> = s.kinds.iter().map(|kind| kind.title()).collect();
        json!({ "name": s.name, "clock": s.clock, "measures": kinds, "samples_us": s.micros })
    };
    series.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let mut series = Series::new("x", "engine", &[Kind::Exec]);
        (1..=100).for_each(|ms| series.push(Duration::from_millis(ms)));
        assert_eq!(series.percentile(0.5), 50_000);
        assert_eq!(series.percentile(0.99), 99_000);
        assert_eq!(series.percentile(0.0), 1000);
        assert_eq!(series.percentile(1.0), 100_000);
    }
}
