//! Pinfold's engine in this process, with a database on disk, as a server uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinfold_engine::{
    CreateSandbox, Databases, Drain, Engine, EngineConfig, ImageOrTemplate, Parts, QuotaChange,
    RunOptions, SystemClock,
};
use pinfold_images::{HostImage, HostRoot, LayerStore};
use pinfold_model::journal::RecordBody;
use pinfold_model::{CommandSpec, Ctx, Program, SandboxId};
use pinfold_runtime::journal::Journals;
pub(crate) use pinfold_runtime::namespace::Disks;
use pinfold_runtime::namespace::{Config, NamespaceDriver};
use pinfold_store::{Blobs, Store};

use crate::contenders::PROGRAM;
use crate::stats::{OURS, OURS_WARM};

/// Sparse; room for what the forks hold.
pub(crate) const KEPT: Disks = Disks::Pool {
    size_bytes: 16 << 30,
};

#[derive(Clone)]
pub(crate) struct Pinfold {
    engine: Engine,
    ctx: Ctx,
    root: HostRoot,
    name: &'static str,
    /// How many sandboxes it keeps ready.
    warm: usize,
}

/// Kept ready by an engine that keeps any.
const WARM: usize = 2;

impl Pinfold {
    /// In a directory of its own below `place`. No sandbox of it is made before it is asked for.
    pub(crate) async fn open(place: &Path, disks: Disks) -> Result<Self> {
        let (name, shown) = match disks {
            Disks::Memory => ("memory", OURS),
            Disks::Pool { .. } => ("kept", "pinfold, kept disk"),
        };
        Self::open_as(place, name, shown, disks, 0).await
    }

    /// One that has sandboxes ready when they are asked for.
    pub(crate) async fn open_warm(place: &Path) -> Result<Self> {
        let warm = Self::open_as(place, "warm", OURS_WARM, Disks::Memory, WARM).await?;
        let first = warm.create().await?;
        warm.destroy(&first).await?;
        Ok(warm)
    }

    async fn open_as(
        place: &Path,
        name: &str,
        shown: &'static str,
        disks: Disks,
        warm: usize,
    ) -> Result<Self> {
        let place = place.join(name);
        std::fs::create_dir(&place)?;
        let layers = LayerStore::open(&place.join("images"))?;
        let root = HostImage::of_this_machine().ensure(&layers)?;
        let driver = NamespaceDriver::open(Config {
            directory: place.join("sandboxes"),
            machine_directory: PathBuf::from("/run/pinfold"),
            instance: format!("bench{}{name}", std::process::id()),
            disks,
        })?;
        let parts = Parts {
            store: Store::open_sqlite(&place.join("pinfold.db")).await?,
            driver: Arc::new(driver),
            layers,
            journals: Journals::open(&place.join("journals"))?,
            blobs: Blobs::directory(&place.join("objects"))?,
            databases: Databases::open(&place.join("axons"))?,
            clock: Arc::new(SystemClock),
        };
        let config = EngineConfig {
            warm_sandboxes: warm,
            ..EngineConfig::default()
        };
        let engine = Engine::open(config, parts).await?;
        engine.start().await?;
        let ctx = Ctx::new(engine.system_principal());
        let unbounded = QuotaChange {
            live_sandboxes: Some(None),
            ..QuotaChange::default()
        };
        engine
            .change_quota(&ctx, &ctx.principal.project, unbounded)
            .await?;
        Ok(Self {
            engine,
            ctx,
            root,
            name: shown,
            warm,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns when all that it keeps ready is.
    pub(crate) async fn refilled(&self) {
        while self.engine.warm_sandboxes() < self.warm {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn root(&self) -> &HostRoot {
        &self.root
    }

    pub(crate) async fn create(&self) -> Result<SandboxId> {
        self.create_from(ImageOrTemplate::Default).await
    }

    pub(crate) async fn fork(&self, of: &SandboxId) -> Result<SandboxId> {
        self.create_from(ImageOrTemplate::Sandbox(of.clone())).await
    }

    async fn create_from(&self, from: ImageOrTemplate) -> Result<SandboxId> {
        let wanted = CreateSandbox {
            from,
            ..CreateSandbox::default()
        };
        let created = self.engine.create_sandbox(&self.ctx, wanted, None).await?;
        Ok(created.value.id)
    }

    pub(crate) async fn create_run_destroy(&self) -> Result<()> {
        let id = self.create().await?;
        self.exec(&id).await?;
        self.destroy(&id).await
    }

    pub(crate) async fn exec(&self, id: &SandboxId) -> Result<()> {
        let program = Program::Argv(vec![PROGRAM.to_owned()]);
        self.run(id, program).await
    }

    pub(crate) async fn run(&self, id: &SandboxId, program: Program) -> Result<()> {
        let spec = CommandSpec::new(program);
        let ran = self
            .engine
            .run_command(&self.ctx, id, spec, None, RunOptions::default())
            .await?;
        let status = ran.command.state.exit_status().context("no exit status")?;
        let words = String::from_utf8_lossy(&ran.stderr);
        ensure!(status.success(), "it ended with {status:?}: {words}");
        Ok(())
    }

    /// How long until a reader of its journal has seen all that the program wrote, and how many
    /// bytes that was.
    pub(crate) async fn stream(&self, id: &SandboxId, line: &str) -> Result<(Duration, u64)> {
        let start = Instant::now();
        let mut spec = CommandSpec::new(Program::Shell(line.to_owned()));
        spec.output_cap_bytes = Some(2 << 30);
        let engine = &self.engine;
        let started = engine.start_command(&self.ctx, id, spec, None).await?;
        let mut reader = engine.reader(&self.ctx, &started.value.id, 0).await?;
        let mut seen = 0;
        while let Some(record) = reader.next().await? {
            if let RecordBody::Output { bytes, .. } = record.body {
                seen += bytes.len() as u64;
            }
        }
        Ok((start.elapsed(), seen))
    }

    /// What the sandbox holds now.
    pub(crate) async fn memory_bytes(&self, id: &SandboxId) -> Result<u64> {
        Ok(self
            .engine
            .sandbox_used(&self.ctx, id)
            .await?
            .now
            .memory_bytes)
    }

    pub(crate) async fn destroy(&self, id: &SandboxId) -> Result<()> {
        self.engine.destroy_sandbox(&self.ctx, id).await?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.engine.shutdown(Drain::DestroySandboxes).await;
    }
}
