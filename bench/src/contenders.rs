//! One way each of creating a sandbox, or of running a command in one.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinfold_model::SandboxId;
use tokio::process::Command;

use crate::pinfold::Pinfold;
use crate::server::Server;
use crate::stats::{OURS, Series};

/// The command of every contender: nearly nothing, but dynamically linked as most programs are.
pub(crate) const PROGRAM: &str = "/bin/true";

pub(crate) enum Contender {
    /// Make a sandbox, run the program in it, take it apart.
    EngineCreate(Pinfold),
    /// The same, timed until the program has run.
    EngineFirst(Pinfold),
    /// Run the program in a sandbox that is there, both streams captured.
    EngineExec(Pinfold, SandboxId),
    ApiCreate(Server),
    ApiExec(Server, String),
    Program(Program),
}

/// A program that does it all.
#[derive(Default)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) clock: &'static str,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Takes down what it needed.
    pub(crate) after: Vec<String>,
    /// It takes so long that it runs in every tenth round only.
    pub(crate) is_slow: bool,
}

impl Program {
    pub(crate) fn new(name: &str, argv: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            clock: "process",
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The floor of everything: the program without any sandbox.
    pub(crate) fn plain_spawn() -> Self {
        Self::new("plain spawn", &[PROGRAM])
    }

    pub(crate) async fn run(&self) -> Result<()> {
        run(&self.argv, &self.env).await
    }
}

impl Contender {
    pub(crate) fn series(&self) -> Series {
        match self {
            Self::EngineCreate(pinfold) | Self::EngineFirst(pinfold) => {
                Series::new(pinfold.name(), "engine")
            }
            Self::EngineExec(..) => Series::new(OURS, "engine"),
            Self::ApiCreate(_) | Self::ApiExec(..) => Series::new(OURS, "API"),
            Self::Program(program) => Series::new(&program.name, program.clock),
        }
    }

    pub(crate) fn takes_part_in(&self, round: usize) -> bool {
        !matches!(self, Self::Program(program) if program.is_slow && !round.is_multiple_of(10))
    }

    pub(crate) async fn once(&self) -> Result<Duration> {
        if let Self::EngineFirst(pinfold) = self {
            pinfold.refilled().await;
        }
        let start = Instant::now();
        match self {
            Self::EngineCreate(pinfold) => pinfold.create_run_destroy().await?,
            Self::EngineFirst(pinfold) => {
                let id = pinfold.create().await?;
                pinfold.exec(&id).await?;
                let took = start.elapsed();
                pinfold.destroy(&id).await?;
                return Ok(took);
            }
            Self::EngineExec(pinfold, id) => pinfold.exec(id).await?,
            Self::ApiCreate(server) => {
                let id = server.create().await?;
                server.exec(&id).await?;
                server.destroy(&id).await?;
            }
            Self::ApiExec(server, id) => server.exec(id).await?,
            Self::Program(program) => program.run().await?,
        }
        Ok(start.elapsed())
    }

    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::EngineExec(pinfold, id) => pinfold.destroy(&id).await,
            Self::ApiExec(server, id) => server.destroy(&id).await,
            Self::Program(program) if !program.after.is_empty() => run(&program.after, &[]).await,
            _ => Ok(()),
        }
    }
}

async fn run(argv: &[String], env: &[(&'static str, String)]) -> Result<()> {
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", argv[0]))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{argv:?} failed: {words}");
    Ok(())
}
