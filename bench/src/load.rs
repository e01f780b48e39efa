//! Many at once: creates per second and what they cost in CPU time, and a burst over the API.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::contenders::Program;
use crate::pinfold::{Disks, Pinfold};
use crate::server::Server;
use crate::stats::{Figure, OURS, Series, Unit};
use crate::{machine, peers};

const AT_ONCE: usize = 8;
/// Creates in one batch.
const BATCH: usize = 64;
/// What happens behind a batch is over by then; its CPU time counts.
const BEHIND: Duration = Duration::from_millis(500);
const BURST: usize = 100;

enum Contender {
    Ours(Box<Pinfold>),
    Other(Program),
}

impl Contender {
    async fn once(&self, number: usize) -> Result<()> {
        match self {
            Self::Ours(pinfold) => pinfold.create_run_destroy().await,
            Self::Other(program) => program.numbered(number).run().await,
        }
    }
}

/// Create + run + destroy, eight at once, in batches.
pub(crate) async fn parallel(rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), Disks::Memory).await?;
    let mut contenders = vec![(
        Series::new(OURS, "engine"),
        Contender::Ours(Box::new(pinfold.clone())),
    )];
    for program in peers::creating(place.path(), pinfold.root())? {
        if !program.is_slow {
            let series = Series::new(&program.name, "process");
            contenders.push((series, Contender::Other(program)));
        }
    }
    let mut cpu: Vec<Series> = contenders
        .iter()
        .map(|(series, _)| series.clone())
        .collect();
    for _ in 0..rounds.div_ceil(10) {
        for ((series, contender), cpu) in contenders.iter_mut().zip(&mut cpu) {
            let (busy, start) = (machine::busy_ms()?, Instant::now());
            let numbers = stream::iter((0..BATCH).map(Ok));
            numbers
                .try_for_each_concurrent(AT_ONCE, |number| contender.once(number))
                .await?;
            series.push(BATCH as f64 / start.elapsed().as_secs_f64());
            tokio::time::sleep(BEHIND).await;
            cpu.push((machine::busy_ms()? - busy) / BATCH as f64);
        }
    }
    pinfold.close().await;
    let series = contenders.into_iter().map(|(series, _)| series).collect();
    let title = "create + run /bin/true + destroy, 8 at once";
    let rate = Figure::new("parallel", title, Unit::PerSecond, series);
    let title = "CPU time of the whole machine for each create + run + destroy, 8 at once";
    let cpu = Figure::new("cpu", title, Unit::Milliseconds, cpu);
    Ok(vec![rate, cpu])
}

/// A hundred creates with a first command each, all asked for in the same moment.
pub(crate) async fn burst(program: &Path) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let server = Server::start(program, place.path()).await?;
    let mut series = Series::new(OURS, "API");
    let one = async || {
        let start = Instant::now();
        let id = server.create().await?;
        server.exec(&id).await?;
        anyhow::Ok((start.elapsed(), id))
    };
    let made: Vec<_> = stream::iter(0..BURST)
        .map(|_| one())
        .buffer_unordered(BURST)
        .try_collect()
        .await?;
    for (took, id) in made {
        series.push_time(took);
        server.destroy(&id).await?;
    }
    server.stop().await?;
    let title = "100 creates with a first command at once, each until its result";
    Ok(vec![Figure::new(
        "burst",
        title,
        Unit::Milliseconds,
        vec![series],
    )])
}
