//! `pinfold-bench`: how long a sandbox and a command take, beside what else could run them.
//!
//! All contenders run in one process, one after the other in every round, so that whatever else the
//! machine does meets all of them alike; figures are compared as ratios within one run. Every figure
//! carries its clock: `engine` is a call inside this process, `process` is a program started for it.

mod contenders;
mod idle;
mod peers;
mod pinfold;
mod stats;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::contenders::{Contender, Kind};
use crate::stats::Series;

/// Compares create and exec latency with bwrap, crun, runc and a plain spawn, in one run.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds that count; each runs every contender once.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Rounds before them that do not count.
    #[arg(long, default_value_t = 10)]
    warmup: usize,
    /// Print every sample as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&options)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let place = tempfile::tempdir()?;
    let pinfold = pinfold::Pinfold::open(place.path()).await?;
    let mut contenders = vec![
        Contender::plain_spawn(),
        Contender::PinfoldCreate(pinfold.clone()),
        Contender::PinfoldExec(pinfold.clone(), pinfold.create().await?),
    ];
    contenders.extend(peers::installed(place.path(), &pinfold.root())?);
    let mut series: Vec<Series> = contenders.iter().map(Contender::series).collect();
    for round in 0..options.warmup + options.rounds {
        for (contender, series) in contenders.iter().zip(&mut series) {
            let took = contender.once().await?;
            if round >= options.warmup {
                series.push(took);
            }
        }
    }
    for contender in contenders {
        contender.close().await?;
    }
    let idle = idle::measure(&pinfold).await?;
    pinfold.close().await;
    if options.json {
        let all = serde_json::json!({ "latency": stats::json(&series), "idle": idle.json() });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print(&series);
        print!("{}", idle.lines());
    }
    Ok(())
}

fn print(series: &[Series]) {
    for kind in [Kind::Create, Kind::Exec] {
        println!("{}\n{}\n", kind.title(), stats::table(series, kind));
    }
}
