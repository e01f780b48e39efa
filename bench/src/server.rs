//! A server of its own, spoken to over loopback as its clients do; how soon it is ready and what it
//! holds when it does nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinfold_sdk::{Client, CreateSandbox, StartCommand};
use tokio::process::{Child, Command};

use crate::contenders::{PROGRAM, Program};
use crate::machine;
use crate::stats::{Figure, OURS, Series, Unit};

const KEY: &str = "pinfold-bench-bootstrap-key-0123456789";
/// A server that takes longer than this has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// After so long an idle server has done what it does at its start.
const AT_REST_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Server {
    process: Arc<tokio::sync::Mutex<Child>>,
    pid: u32,
    data: PathBuf,
    program: PathBuf,
    pub(crate) client: Client,
}

impl Server {
    /// Returns when it answers that it is ready.
    pub(crate) async fn start(program: &Path, place: &Path) -> Result<Self> {
        let data = place.join("server");
        let process = Command::new(program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--ephemeral",
                "--pull",
                "never",
            ])
            .arg("--data-dir")
            .arg(&data)
            .env("PINFOLD_BOOTSTRAP_KEY", KEY)
            .env("PINFOLD_LOG", "error")
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = process.id().context("it has ended at once")?;
        let deadline = Instant::now() + READY_WITHIN;
        let client = loop {
            if let Some(url) = announced(&data)
                && let Ok(client) = Client::new(&url, KEY)
                // Once: the notice may be of the server before, and patience with that would count.
                && client.health_now(READY_WITHIN).await.is_ok()
            {
                break client;
            }
            ensure!(Instant::now() < deadline, "the server did not become ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        Ok(Self {
            process: Arc::new(tokio::sync::Mutex::new(process)),
            pid,
            data,
            program: program.to_owned(),
            client,
        })
    }

    pub(crate) async fn create(&self) -> Result<String> {
        let wanted = CreateSandbox::default();
        Ok(self.client.sandboxes().create(&wanted).await?.id)
    }

    pub(crate) async fn exec(&self, id: &str) -> Result<()> {
        let wanted = StartCommand {
            argv: Some(vec![PROGRAM.to_owned()]),
            ..StartCommand::default()
        };
        let ran = self.client.commands().run(id, &wanted).await?;
        ensure!(ran.command.exit_code == Some(0), "{PROGRAM} failed");
        Ok(())
    }

    pub(crate) async fn destroy(&self, id: &str) -> Result<()> {
        self.client.sandboxes().destroy(id).await?;
        Ok(())
    }

    /// The command line doing something on this server.
    pub(crate) fn cli(&self, args: &[&str]) -> Program {
        Program {
            clock: "CLI",
            env: vec![
                ("PINFOLD_URL", self.client.url().to_owned()),
                ("PINFOLD_API_KEY", KEY.to_owned()),
                ("PINFOLD_DATA_DIR", self.data.to_string_lossy().into_owned()),
            ],
            ..Program::new(OURS, &[&[&*self.program.to_string_lossy()], args].concat())
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        machine::terminate(self.pid)?;
        self.process.lock().await.wait().await?;
        Ok(())
    }
}

/// The address that a server writes into its data directory.
fn announced(data: &Path) -> Option<String> {
    let notice = std::fs::read(data.join("server.lock")).ok()?;
    let notice: serde_json::Value = serde_json::from_slice(&notice).ok()?;
    notice["url"].as_str().map(str::to_owned)
}

/// Starts of a server that has been set up before, and what it holds afterwards.
pub(crate) async fn measure(program: &Path, rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    Server::start(program, place.path()).await?.stop().await?;
    let mut ready = Series::new(OURS, "API");
    let mut memory = Series::new(OURS, "API");
    for _ in 0..rounds.div_ceil(10) {
        let start = Instant::now();
        let server = Server::start(program, place.path()).await?;
        ready.push_time(start.elapsed());
        tokio::time::sleep(AT_REST_AFTER).await;
        memory.push(machine::resident_mib(server.pid)?);
        server.stop().await?;
    }
    let title = "start of a server until it answers that it is ready";
    let ready = Figure::new("server_ready", title, Unit::Milliseconds, vec![ready]);
    let title = "resident memory of a server that does nothing";
    let memory = Figure::new("server_memory", title, Unit::Mebibytes, vec![memory]);
    Ok(vec![ready, memory])
}
