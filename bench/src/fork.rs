//! Forking a sandbox: empty, with many files, with one large one.

use std::time::Instant;

use anyhow::Result;
use pinfold_model::Program;

use crate::pinfold::{KEPT, Pinfold};
use crate::stats::{Figure, Series, Unit};

/// What the sandbox to fork holds, and the line that makes it. Written out, for what a copy has to
/// write first is no part of its own cost.
const HOLDING: [(&str, &str); 3] = [
    ("pinfold, nothing", "true"),
    (
        "pinfold, 10,000 files",
        "mkdir d && cd d && seq 10000 | xargs touch && sync",
    ),
    ("pinfold, 1 GiB", "head -c 1G /dev/urandom > big && sync"),
];

pub(crate) async fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), KEPT).await?;
    let mut originals = Vec::new();
    for (name, line) in HOLDING {
        let id = pinfold.create().await?;
        let program = Program::Shell(line.to_owned());
        pinfold.run(&id, program).await?;
        originals.push((Series::new(name, "engine"), id));
    }
    for _ in 0..rounds.div_ceil(4) {
        for (series, original) in &mut originals {
            let start = Instant::now();
            let fork = pinfold.fork(original).await?;
            series.push_time(start.elapsed());
            pinfold.destroy(&fork).await?;
        }
    }
    let mut all = Vec::new();
    for (series, original) in originals {
        pinfold.destroy(&original).await?;
        all.push(series);
    }
    pinfold.close().await;
    let title = "fork of a sandbox that holds ..., until the fork runs";
    Ok(vec![Figure::new("fork", title, Unit::Milliseconds, all)])
}
