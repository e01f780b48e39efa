//! The same work with 10, 100 and 1,000 sandboxes alive, and what each of these holds.

use std::time::Instant;

use anyhow::Result;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::contenders::Program;
use crate::machine;
use crate::pinfold::{Disks, Pinfold};
use crate::stats::{Figure, OURS, Series, Unit};

const LEVELS: [usize; 3] = [10, 100, 1000];
/// Made or destroyed at once on the way from one level to the next.
const AT_ONCE: usize = 8;

pub(crate) async fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), Disks::Memory).await?;
    let plain = Program::plain_spawn();
    let (mut create, mut exec) = (Vec::new(), Vec::new());
    let (mut live, before) = (Vec::new(), machine::available_mib()?);
    for level in LEVELS {
        let missing = stream::iter(live.len()..level).map(|_| pinfold.create());
        let made: Vec<_> = missing.buffer_unordered(AT_ONCE).try_collect().await?;
        live.extend(made);
        let named = |name: &str, clock: &str| Series::new(&format!("{name}, {level} live"), clock);
        let mut creates = named(OURS, "engine");
        let mut execs = named(OURS, "engine");
        let mut plains = named("plain spawn", "process");
        for round in 0..rounds {
            let start = Instant::now();
            pinfold.create_run_destroy().await?;
            creates.push_time(start.elapsed());
            let start = Instant::now();
            pinfold.exec(&live[round % level]).await?;
            execs.push_time(start.elapsed());
            let start = Instant::now();
            plain.run().await?;
            plains.push_time(start.elapsed());
        }
        create.extend([creates, plains.clone()]);
        exec.extend([execs, plains]);
    }
    let mut memory = Series::new(OURS, "engine");
    memory.push((before - machine::available_mib()?) / live.len() as f64);
    let ends = stream::iter(live.iter().map(Ok));
    ends.try_for_each_concurrent(AT_ONCE, |id| pinfold.destroy(id))
        .await?;
    pinfold.close().await;
    let time = Unit::Milliseconds;
    let title = "create + run /bin/true + destroy beside sandboxes that live";
    let create = Figure::new("growth_create", title, time, create);
    let title = "run /bin/true in one of the sandboxes that live";
    let exec = Figure::new("growth_exec", title, time, exec);
    let title = "what the machine has less for each of 1,000 idle sandboxes, everything counted";
    let memory = Figure::new("growth_memory", title, Unit::Mebibytes, vec![memory]);
    Ok(vec![create, exec, memory])
}
