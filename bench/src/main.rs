//! `pinfold-bench`: how long a sandbox and a command take, beside what else could run them.
//!
//! All contenders of a part run in turns, once each in every round, so that whatever else the machine
//! does meets all of them alike; figures are compared as ratios within one run. Every figure of ours
//! carries its clock: `engine` is a call inside this process, `API` is HTTP on loopback to a server of
//! its own, `CLI` is a program started for it.

mod contenders;
mod files;
mod fork;
mod growth;
mod idle;
mod latency;
mod load;
mod machine;
mod peers;
mod pinfold;
mod plot;
mod preview;
mod report;
mod server;
mod stats;
mod stream;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::stats::Figure;

/// Compares Pinfold with bwrap, OCI runtimes and plain processes, in one run.
#[derive(Debug, Parser)]
enum Options {
    /// Measure and write each part's samples to a JSON file of its own.
    Measure(Measure),
    /// Show what was measured, and renew the tables and plots of BENCHMARKS.md.
    Report {
        /// Where the JSON files are.
        results: PathBuf,
        /// The document with the tables; printed where it is left out.
        #[arg(long)]
        document: Option<PathBuf>,
    },
}

#[derive(Debug, Parser)]
struct Measure {
    /// What to measure [default: everything].
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Where the JSON files go.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
    /// The program for the API's and the CLI's clocks [default: beside this one].
    #[arg(long)]
    pinfold: Option<PathBuf>,
    /// Rounds that count of the parts that take milliseconds; others take their share.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Create,
    Exec,
    Parallel,
    Burst,
    Idle,
    Growth,
    Stream,
    Files,
    Fork,
    Preview,
    Server,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Into::into)
        .and_then(|runtime| match options {
            // On a worker, as a server's requests are; the thread that blocks is woken by others.
            Options::Measure(measure) => {
                runtime.block_on(async { tokio::spawn(run(measure)).await? })
            }
            Options::Report { results, document } => report::report(&results, document.as_deref()),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Measure) -> Result<()> {
    let program = match options.pinfold {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("pinfold"),
    };
    std::fs::create_dir_all(&options.results)?;
    machine::describe(&options.results.join("machine.json"))?;
    let parts = match &options.parts[..] {
        [] => Part::value_variants(),
        some => some,
    };
    for part in parts {
        let figures = measured(*part, &program, options.rounds)
            .await
            .with_context(|| format!("{part:?}"))?;
        for figure in figures {
            eprintln!("{}\n{}\n", figure.title, report::table(&figure));
            figure.write(&options.results)?;
        }
    }
    Ok(())
}

async fn measured(part: Part, program: &std::path::Path, rounds: usize) -> Result<Vec<Figure>> {
    match part {
        Part::Create => latency::create(program, rounds).await,
        Part::Exec => latency::exec(program, rounds).await,
        Part::Parallel => load::parallel(rounds).await,
        Part::Burst => load::burst(program).await,
        Part::Idle => idle::measure().await,
        Part::Growth => growth::measure(rounds).await,
        Part::Stream => stream::measure(rounds).await,
        Part::Files => files::measure(program, rounds).await,
        Part::Fork => fork::measure(rounds).await,
        Part::Preview => preview::measure(program).await,
        Part::Server => server::measure(program, rounds).await,
    }
}
