//! The promised ratios, and whether a run reached them.

use crate::stats::{Figure, OURS, OURS_WARM};

/// One row: ours to a peer, in the same figure.
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) must: f64,
    pub(crate) aim: f64,
    better: Better,
    ours: Of,
    theirs: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

/// Where a number comes from.
enum Of {
    /// The median of a series: figure, name, clock.
    Median(&'static str, &'static str, &'static str),
    /// The 99th percentile of one.
    Worst(&'static str, &'static str, &'static str),
    One,
}

use Better::{Less, More};
use Of::{Median, One, Worst};

pub(crate) fn all() -> Vec<Target> {
    let process = "process";
    let create = |what, theirs, must, aim| Target {
        what,
        must,
        aim,
        better: Less,
        ours: Median("create", OURS, "engine"),
        theirs: Median("create", theirs, process),
    };
    let cli = |what, theirs, must, aim| Target {
        what,
        must,
        aim,
        better: Less,
        ours: Median("exec", OURS, "CLI"),
        theirs: Median("exec", theirs, process),
    };
    let rate = |what, theirs, must, aim| Target {
        what,
        must,
        aim,
        better: More,
        ours: Median("parallel", OURS, "engine"),
        theirs: Median("parallel", theirs, process),
    };
    let one = |what, better, ours, theirs, must, aim| Target {
        what,
        must,
        aim,
        better,
        ours,
        theirs,
    };
    vec![
        create("create + run + destroy, engine / bwrap", "bwrap", 1.0, 0.6),
        create("same / crun with cgroups", "crun", 0.25, 0.15),
        create(
            "same / crun without cgroups",
            "crun without cgroups",
            0.25,
            0.15,
        ),
        create("same / runc", "runc", 0.20, 0.10),
        create("same / runsc", "runsc", 0.06, 0.03),
        create("same / podman", "podman", 0.015, 0.008),
        one(
            "warm create to first result, engine / plain spawn",
            Less,
            Median("first", OURS_WARM, "engine"),
            Median("first", "plain spawn", process),
            2.0,
            1.5,
        ),
        one(
            "exec, engine / plain spawn",
            Less,
            Median("exec", OURS, "engine"),
            Median("exec", "plain spawn", process),
            1.3,
            1.1,
        ),
        one(
            "exec, API / engine",
            Less,
            Median("exec", OURS, "API"),
            Median("exec", OURS, "engine"),
            1.5,
            1.25,
        ),
        cli("exec, CLI / nsenter", "nsenter", 0.7, 0.5),
        cli("exec, CLI / crun exec", "crun exec", 0.2, 0.13),
        cli(
            "exec, CLI / crun exec without cgroups",
            "crun exec without cgroups",
            0.2,
            0.13,
        ),
        cli("exec, CLI / runc exec", "runc exec", 0.07, 0.05),
        cli("exec, CLI / podman exec", "podman exec", 0.025, 0.017),
        rate("creates a second, 8 at once / bwrap", "bwrap", 0.9, 1.2),
        rate("same / crun", "crun", 2.0, 3.0),
        rate(
            "same / crun without cgroups",
            "crun without cgroups",
            2.0,
            3.0,
        ),
        rate("same / runc", "runc", 5.0, 8.0),
        one(
            "burst of 100 over the API, p99 / p50",
            Less,
            Worst("burst", OURS, "API"),
            Median("burst", OURS, "API"),
            3.0,
            2.0,
        ),
        one(
            "CPU for each create + run + destroy / bwrap",
            Less,
            Median("cpu", OURS, "engine"),
            Median("cpu", "bwrap", process),
            1.1,
            0.8,
        ),
        one(
            "memory of an idle sandbox among 1,000, everything counted, MiB",
            Less,
            Median("growth_memory", OURS, "engine"),
            One,
            0.75,
            0.5,
        ),
        one(
            "create + run + destroy at 1,000 live / at 10",
            Less,
            Median("growth_create", "pinfold, 1000 live", "engine"),
            Median("growth_create", "pinfold, 10 live", "engine"),
            1.5,
            1.15,
        ),
        one(
            "stdout to a reader of the journal / into a plain pipe",
            More,
            Median("stream", OURS, "engine"),
            Median("stream", "plain pipe", process),
            0.5,
            0.9,
        ),
        one(
            "fork with 10,000 files / empty",
            Less,
            Median("fork", "pinfold, 10,000 files", "engine"),
            Median("fork", "pinfold, nothing", "engine"),
            1.2,
            1.05,
        ),
        one(
            "fork with 1 GiB / empty",
            Less,
            Median("fork", "pinfold, 1 GiB", "engine"),
            Median("fork", "pinfold, nothing", "engine"),
            1.2,
            1.05,
        ),
        one(
            "upload of 1 GiB, API / cp",
            More,
            Median("files", "pinfold, upload", "API"),
            Median("files", "cp", process),
            0.4,
            0.7,
        ),
        one(
            "download of 1 GiB, API / cp",
            More,
            Median("files", "pinfold, download", "API"),
            Median("files", "cp", process),
            0.4,
            0.7,
        ),
        one(
            "preview proxy, requests a second / nginx",
            More,
            Median("preview", OURS, "API"),
            Median("preview", "nginx as a proxy", process),
            0.5,
            1.0,
        ),
        one(
            "server, idle memory, MiB",
            Less,
            Median("server_memory", OURS, "API"),
            One,
            60.0,
            30.0,
        ),
        one(
            "server, start to ready, ms",
            Less,
            Median("server_ready", OURS, "API"),
            One,
            300.0,
            100.0,
        ),
    ]
}

impl Target {
    /// The ratio, where both were measured.
    pub(crate) fn ratio(&self, figures: &[Figure]) -> Option<f64> {
        Some(self.ours.find(figures)? / self.theirs.find(figures)?)
    }

    pub(crate) fn verdict(&self, ratio: f64) -> &'static str {
        let reaches = |bound: f64| match self.better {
            Less => ratio <= bound,
            More => ratio >= bound,
        };
        match (reaches(self.aim), reaches(self.must)) {
            (true, _) => "aim reached",
            (false, true) => "reached",
            (false, false) => "**not reached**",
        }
    }

    pub(crate) fn sign(&self) -> &'static str {
        match self.better {
            Less => "≤",
            More => "≥",
        }
    }
}

impl Of {
    fn find(&self, figures: &[Figure]) -> Option<f64> {
        let series = |figure: &str, name: &str, clock: &str| {
            let figure = figures.iter().find(|known| known.name == figure)?;
            figure.series(name, clock)
        };
        match self {
            Median(figure, name, clock) => Some(series(figure, name, clock)?.p50()),
            Worst(figure, name, clock) => Some(series(figure, name, clock)?.percentile(0.99)),
            One => Some(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Series, Unit};

    fn exec(ours: f64, theirs: f64) -> Vec<Figure> {
        let (mut a, mut b) = (
            Series::new(OURS, "engine"),
            Series::new("plain spawn", "process"),
        );
        a.push(ours);
        b.push(theirs);
        vec![Figure::new("exec", "", Unit::Milliseconds, vec![a, b])]
    }

    #[test]
    fn a_ratio_is_held_against_its_bounds_and_absent_where_nothing_was_measured() {
        let all = all();
        let target = all.iter().find(|t| t.what == "exec, engine / plain spawn");
        let target = target.expect("a target");
        for (ours, verdict) in [
            (1.0, "aim reached"),
            (1.2, "reached"),
            (1.4, "**not reached**"),
        ] {
            let ratio = target.ratio(&exec(ours, 1.0)).expect("measured");
            assert_eq!(target.verdict(ratio), verdict);
        }
        assert_eq!(target.ratio(&[]), None);
    }

    #[test]
    fn an_aim_is_never_weaker_than_what_must_be() {
        for target in all() {
            assert_ne!(
                target.verdict(target.aim),
                "**not reached**",
                "{}",
                target.what
            );
        }
    }
}
