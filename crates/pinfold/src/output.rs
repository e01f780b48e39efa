//! What people and scripts see: tables and JSON on stdout, complaints and progress on stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Error, Result};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How a command shows what it found.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// As JSON, with every field
    #[arg(long)]
    pub(crate) json: bool,
}

impl Format {
    /// A list: one row an item, or a JSON array.
    pub(crate) fn list<T: Serialize, const N: usize>(
        self,
        items: &[T],
        columns: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<()> {
        if self.json {
            return json(items);
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns);
        for item in items {
            table.add_row(row(item).map(|cell| printable(&cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        line(&table.trim_fmt())
    }

    /// One thing: its facts below each other, or a JSON object.
    pub(crate) fn one<T: Serialize>(self, item: &T, facts: &[(&str, String)]) -> Result<()> {
        if self.json {
            return json(item);
        }
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            line(&format!("{name:<width$}  {}", printable(value)))?;
        }
        Ok(())
    }
}

pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot write as JSON")?;
    line(&text)
}

/// JSON on a line of its own, for streams of them.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value).context("cannot write as JSON")?;
    line(&text)
}

/// A line on stdout. Its reader may have gone, which is an error here and silent in `main`.
pub(crate) fn line(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// A remark on stderr; nothing depends on its being read.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error with its causes, on stderr. Each level says only its own part; some libraries repeat
/// their cause, and that is said once.
pub(crate) fn complain(error: &Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{between}{cause}");
        }
    }
    remark(&format!("pinfold: {text}"));
}

pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A bar of bytes on stderr where that is a terminal, and nothing elsewhere.
pub(crate) fn byte_bar(what: &str, total: Option<u64>) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let template = match total {
        Some(_) => "{msg}  {bar:30}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
        None => "{msg}  {spinner}  {bytes}  {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::with_draw_target(total, target);
    bar.set_style(style);
    bar.set_message(what.to_owned());
    bar
}

/// For people: `3.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// A value that may be missing.
pub(crate) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

/// Times without their fraction of a second: `2026-11-22T10:00:00Z`.
pub(crate) fn time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

/// Names come from other people: their control characters must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }

    #[test]
    fn times_lose_their_fraction() {
        assert_eq!(time("2026-11-22T10:00:00.123456Z"), "2026-11-22T10:00:00Z");
        assert_eq!(time("2026-11-22T10:00:00Z"), "2026-11-22T10:00:00Z");
    }
}
