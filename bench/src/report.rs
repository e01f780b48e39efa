//! What was measured, as tables and plots.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table};

use crate::stats::{Figure, Series, Unit};
use crate::{plot, targets};

/// In the order in which they are shown.
const FIGURES: [&str; 16] = [
    "create",
    "first",
    "exec",
    "parallel",
    "cpu",
    "burst",
    "growth_create",
    "growth_exec",
    "growth_memory",
    "idle",
    "stream",
    "files",
    "fork",
    "preview",
    "server_ready",
    "server_memory",
];
const BEGIN: &str = "<!-- results: renewed by `pinfold-bench report` -->";
const END: &str = "<!-- /results -->";

pub(crate) fn report(results: &Path, document: Option<&Path>) -> Result<()> {
    let mut figures = Vec::new();
    for name in FIGURES {
        figures.extend(Figure::read(results, name)?);
    }
    let text = markdown(&figures)?;
    let Some(document) = document else {
        println!("{text}");
        return Ok(());
    };
    for name in ["create", "exec"] {
        if let Some(figure) = figures.iter().find(|figure| figure.name == name) {
            plot::bars(figure, &results.join(format!("{name}.svg")))?;
        }
    }
    let known = std::fs::read_to_string(document)?;
    let (head, rest) = known.split_once(BEGIN).context("no mark to begin at")?;
    let (_, tail) = rest.split_once(END).context("no mark to end at")?;
    ensure!(!tail.contains(BEGIN), "one place for the results is enough");
    let whole = format!("{head}{BEGIN}\n\n{text}\n{END}{tail}");
    std::fs::write(document, whole).with_context(|| document.display().to_string())
}

fn markdown(figures: &[Figure]) -> Result<String> {
    let mut text = String::from("### Targets\n\n");
    writeln!(text, "| ratio of medians | must | aim | measured | |")?;
    writeln!(text, "|---|---:|---:|---:|---|")?;
    for target in targets::all() {
        let sign = target.sign();
        let (measured, verdict) = match target.ratio(figures) {
            Some(ratio) => (number(ratio), target.verdict(ratio)),
            None => ("-".to_owned(), "not measured here"),
        };
        let (must, aim) = (number(target.must), number(target.aim));
        let what = target.what;
        writeln!(
            text,
            "| {what} | {sign} {must} | {sign} {aim} | {measured} | {verdict} |"
        )?;
    }
    for figure in figures {
        let mut table = table(figure);
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        write!(text, "\n### {}\n\n{table}\n", capitalized(&figure.title))?;
    }
    Ok(text)
}

/// One row a contender, best first, with how each of our clocks compares to it.
pub(crate) fn table(figure: &Figure) -> Table {
    let mut rows: Vec<&Series> = figure.series.iter().collect();
    rows.sort_by(|a, b| a.p50().total_cmp(&b.p50()));
    if matches!(figure.unit, Unit::PerSecond | Unit::MebibytesPerSecond) {
        rows.reverse();
    }
    let ours: Vec<&Series> = figure.series.iter().filter(|s| s.is_ours()).collect();
    // Ours beside ours alone says nothing that the medians do not.
    let compared = if ours.len() == rows.len() {
        &[][..]
    } else {
        &ours
    };
    let unit = figure.unit.text();
    let mut header: Vec<String> = ["", "clock", "samples"].map(str::to_owned).into();
    header.extend(["min", "p50", "p99"].map(|what| format!("{what} {unit}")));
    header.extend(
        compared
            .iter()
            .map(|s| format!("{} ({}) / it", s.name, s.clock)),
    );
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.clock.clone(),
            row.samples.len().to_string(),
        ];
        cells.extend([0.0, 0.5, 0.99].map(|share| number(row.percentile(share))));
        cells.extend(compared.iter().map(|ours| number(ours.p50() / row.p50())));
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Three digits that count, or all before the point.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
