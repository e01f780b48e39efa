//! Samples, and how they are kept.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How Pinfold's own series are called.
pub(crate) const OURS: &str = "pinfold";
/// The same where a sandbox stood ready.
pub(crate) const OURS_WARM: &str = "pinfold, warm";

/// One thing measured for several contenders in the same rounds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Names its file.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "MiB/s")]
    MebibytesPerSecond,
    #[serde(rename = "MiB")]
    Mebibytes,
}

/// The samples of one contender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// `engine`, `API` or `CLI` of ours; `process` for others.
    pub(crate) clock: String,
    pub(crate) samples: Vec<f64>,
}

impl Figure {
    pub(crate) fn new(name: &str, title: &str, unit: Unit, series: Vec<Series>) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            unit,
            series,
        }
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(format!("{}.json", self.name));
        let mut text = serde_json::to_string(self)?.replace("{\"name\"", "\n{\"name\"");
        text.push('\n');
        std::fs::write(&path, text.trim_start()).with_context(|| path.display().to_string())
    }

    /// `None` where it was not measured.
    pub(crate) fn read(directory: &Path, name: &str) -> Result<Option<Self>> {
        let path = directory.join(format!("{name}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path)?;
        let figure = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Some(figure))
    }

    pub(crate) fn series(&self, name: &str, clock: &str) -> Option<&Series> {
        let mut series = self.series.iter();
        series.find(|series| series.name == name && series.clock == clock)
    }
}

impl Unit {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "1/s",
            Self::MebibytesPerSecond => "MiB/s",
            Self::Mebibytes => "MiB",
        }
    }
}

impl Series {
    pub(crate) fn new(name: &str, clock: &str) -> Self {
        Self {
            name: name.to_owned(),
            clock: clock.to_owned(),
            samples: Vec::new(),
        }
    }

    pub(crate) fn push_time(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1000.0);
    }

    /// Three places are more than any of these figures is good for.
    pub(crate) fn push(&mut self, value: f64) {
        self.samples.push((value * 1000.0).round() / 1000.0);
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }

    pub(crate) fn p50(&self) -> f64 {
        self.percentile(0.5)
    }

    /// The value that this share of the samples does not exceed (nearest rank).
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        let sample = sorted.get(rank.saturating_sub(1));
        sample.copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_a_hundred() -> Series {
        let mut series = Series::new("x", "engine");
        (1..=100).for_each(|ms| series.push_time(Duration::from_millis(ms)));
        series
    }

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let series = to_a_hundred();
        for (share, sample) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert_eq!(series.percentile(share), sample);
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let temp = tempfile::tempdir().expect("directory");
        let figure = Figure::new("f", "A title", Unit::PerSecond, vec![to_a_hundred()]);
        figure.write(temp.path()).expect("write");
        let read = Figure::read(temp.path(), "f").expect("read").expect("some");
        assert_eq!(read.series, figure.series);
        assert_eq!((read.title, read.unit), (figure.title, figure.unit));
        assert!(Figure::read(temp.path(), "g").expect("read").is_none());
    }
}
