//! What is measured: one way each of creating a sandbox, or of running a command in one.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinfold_model::SandboxId;
use tokio::process::Command;

use crate::pinfold::Pinfold;
use crate::stats::Series;

/// The command of every contender: nearly nothing, but dynamically linked as most programs are.
pub(crate) const PROGRAM: &str = "/bin/true";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Make a sandbox, run the program in it, take it apart.
    Create,
    /// Run the program in a sandbox that is there, both streams captured.
    Exec,
}

impl Kind {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Create => "create + run /bin/true + destroy",
            Self::Exec => "run /bin/true in a running sandbox, both streams captured",
        }
    }
}

pub(crate) enum Contender {
    PinfoldCreate(Pinfold),
    PinfoldExec(Pinfold, SandboxId),
    /// A program that does it all: its name, what it counts as, its command line, and the command
    /// line that takes down what it needed.
    Program {
        name: String,
        kinds: &'static [Kind],
        argv: Vec<String>,
        after: Vec<String>,
    },
}

impl Contender {
    /// The floor of both: the program without any sandbox.
    pub(crate) fn plain_spawn() -> Self {
        Self::Program {
            name: "plain spawn".to_owned(),
            kinds: &[Kind::Create, Kind::Exec],
            argv: vec![PROGRAM.to_owned()],
            after: Vec::new(),
        }
    }

    pub(crate) fn series(&self) -> Series {
        match self {
            Self::PinfoldCreate(_) => Series::new("pinfold", "engine", &[Kind::Create]),
            Self::PinfoldExec(..) => Series::new("pinfold", "engine", &[Kind::Exec]),
            Self::Program { name, kinds, .. } => Series::new(name, "process", kinds),
        }
    }

    pub(crate) async fn once(&self) -> Result<Duration> {
        let start = Instant::now();
        match self {
            Self::PinfoldCreate(pinfold) => {
                let id = pinfold.create().await?;
                pinfold.exec(&id).await?;
                pinfold.destroy(&id).await?;
            }
            Self::PinfoldExec(pinfold, id) => pinfold.exec(id).await?,
            Self::Program { argv, .. } => run(argv).await?,
        }
        Ok(start.elapsed())
    }

    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::PinfoldExec(pinfold, id) => pinfold.destroy(&id).await,
            Self::Program { after, .. } if !after.is_empty() => run(&after).await,
            _ => Ok(()),
        }
    }
}

async fn run(argv: &[String]) -> Result<()> {
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", argv[0]))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{argv:?} failed: {words}");
    Ok(())
}
