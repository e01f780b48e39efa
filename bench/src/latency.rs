//! Creating sandboxes and running commands, one at a time.

use std::path::Path;

use anyhow::Result;

use crate::contenders::{Contender, PROGRAM, Program};
use crate::machine;
use crate::peers;
use crate::pinfold::{Disks, KEPT, Pinfold};
use crate::server::Server;
use crate::stats::{Figure, Series, Unit};

/// Rounds before those that count, as a share of them.
const WARMUP_SHARE: usize = 10;

pub(crate) async fn create(program: &Path, rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let memory = Pinfold::open(place.path(), Disks::Memory).await?;
    let kept = Pinfold::open(place.path(), KEPT).await?;
    let warm = Pinfold::open_warm(place.path()).await?;
    let server = Server::start(program, place.path()).await?;
    let mut contenders = vec![
        Contender::Program(Program::plain_spawn()),
        Contender::EngineCreate(memory.clone()),
        Contender::EngineCreate(kept.clone()),
        Contender::ApiCreate(server.clone()),
        Contender::Program(server.cli(&["run", "--", PROGRAM])),
    ];
    let peers = peers::creating(place.path(), memory.root())?;
    contenders.extend(peers.into_iter().map(Contender::Program));
    let first = vec![
        Contender::Program(Program::plain_spawn()),
        Contender::EngineFirst(memory.clone()),
        Contender::EngineFirst(warm.clone()),
    ];
    let title = "create + run /bin/true + destroy, cold";
    let create = figure("create", title, contenders, rounds).await?;
    let title = "create until the first command's result, cold and from those that stand ready";
    let first = figure("first", title, first, rounds).await?;
    server.stop().await?;
    memory.close().await;
    warm.close().await;
    kept.close().await;
    Ok(vec![create, first])
}

pub(crate) async fn exec(program: &Path, rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), Disks::Memory).await?;
    let server = Server::start(program, place.path()).await?;
    let (ours, theirs) = (pinfold.create().await?, server.create().await?);
    let guest = machine::guest_of(ours.as_str())?;
    let mut contenders = vec![
        Contender::Program(Program::plain_spawn()),
        Contender::Program(peers::nsenter(guest)),
        Contender::EngineExec(pinfold.clone(), ours),
        Contender::Program(server.cli(&["sandbox", "exec", &theirs, "--", PROGRAM])),
        Contender::ApiExec(server.clone(), theirs),
    ];
    let peers = peers::executing(place.path(), pinfold.root())?;
    contenders.extend(peers.into_iter().map(Contender::Program));
    let title = "run /bin/true in a running sandbox, both streams captured";
    let figure = figure("exec", title, contenders, rounds * 4).await?;
    server.stop().await?;
    pinfold.close().await;
    Ok(vec![figure])
}

async fn figure(
    name: &str,
    title: &str,
    contenders: Vec<Contender>,
    rounds: usize,
) -> Result<Figure> {
    let mut series: Vec<Series> = contenders.iter().map(Contender::series).collect();
    for round in 0..rounds + rounds.div_ceil(WARMUP_SHARE) {
        for (contender, series) in contenders.iter().zip(&mut series) {
            if contender.takes_part_in(round) {
                let took = contender.once().await?;
                if round >= rounds.div_ceil(WARMUP_SHARE) {
                    series.push_time(took);
                }
            }
        }
    }
    for contender in contenders {
        contender.close().await?;
    }
    Ok(Figure::new(name, title, Unit::Milliseconds, series))
}
