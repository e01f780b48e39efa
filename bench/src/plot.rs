//! A figure as a picture: one bar a contender from its median to its 99th percentile, on a
//! logarithmic scale, since the peers lie decades apart.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::stats::{Figure, Series};

const WIDTH: u32 = 900;
const ROW: u32 = 34;
const MARGINS: u32 = 110;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);

pub(crate) fn bars(figure: &Figure, path: &Path) -> Result<()> {
    draw(figure, path).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw<'a>(figure: &'a Figure, path: &'a Path) -> Result<(), Box<dyn std::error::Error + 'a>> {
    let mut rows: Vec<&Series> = figure.series.iter().collect();
    rows.sort_by(|a, b| b.p50().total_cmp(&a.p50()));
    let least = rows
        .iter()
        .map(|row| row.p50())
        .fold(f64::INFINITY, f64::min);
    let most = rows
        .iter()
        .map(|row| row.percentile(0.99))
        .fold(0.0, f64::max);
    let count = i32::try_from(rows.len())?;
    let size = (WIDTH, ROW * u32::try_from(count)? + MARGINS);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&figure.title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(45)
        .y_label_area_size(190)
        .build_cartesian_2d(
            (least / 2.0..most * 1.5).log_scale(),
            (0..count).into_segmented(),
        )?;
    let names: Vec<String> = rows
        .iter()
        .map(|s| format!("{} ({})", s.name, s.clock))
        .collect();
    let name = |at: &SegmentValue<i32>| match at {
        SegmentValue::CenterOf(at) => usize::try_from(*at)
            .ok()
            .and_then(|at| names.get(at).cloned())
            .unwrap_or_default(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc(format!(
            "{}: bar to the median, line to p99",
            figure.unit.text()
        ))
        .y_labels(rows.len())
        .y_label_formatter(&name)
        .label_style(("sans-serif", 14))
        .draw()?;
    for (at, row) in (0..count).zip(&rows) {
        let color = if row.is_ours() { OURS } else { OTHERS };
        let (from, to) = (SegmentValue::Exact(at), SegmentValue::Exact(at + 1));
        let middle = SegmentValue::CenterOf(at);
        let bar = [(least / 2.0, from), (row.p50(), to)];
        let mut bar = Rectangle::new(bar, color.filled());
        bar.set_margin(5, 5, 0, 0);
        let line = [(row.p50(), middle.clone()), (row.percentile(0.99), middle)];
        chart.draw_series(std::iter::once(bar))?;
        chart.draw_series(std::iter::once(PathElement::new(line, BLACK)))?;
    }
    area.present()?;
    Ok(())
}
