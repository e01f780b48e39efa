//! Pinfold itself, through its engine with a database on disk, as a server uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pinfold_engine::{CreateSandbox, Drain, Engine, EngineConfig, Parts, RunOptions, SystemClock};
use pinfold_images::{HostImage, HostRoot, LayerStore};
use pinfold_model::{CommandSpec, Ctx, Program, SandboxId};
use pinfold_runtime::journal::Journals;
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver};
use pinfold_store::{Blobs, Store};

use crate::contenders::PROGRAM;

#[derive(Clone)]
pub(crate) struct Pinfold {
    engine: Engine,
    ctx: Ctx,
    root: HostRoot,
}

impl Pinfold {
    pub(crate) async fn open(place: &Path) -> Result<Self> {
        let layers = LayerStore::open(&place.join("images"))?;
        let root = HostImage::of_this_machine().ensure(&layers)?;
        let driver = NamespaceDriver::open(Config {
            directory: place.join("sandboxes"),
            machine_directory: PathBuf::from("/run/pinfold"),
            instance: format!("bench{}", std::process::id()),
            disks: Disks::Memory,
        })?;
        let parts = Parts {
            store: Store::open_sqlite(&place.join("pinfold.db")).await?,
            driver: Arc::new(driver),
            layers,
            journals: Journals::open(&place.join("journals"))?,
            blobs: Blobs::directory(&place.join("objects"))?,
            clock: Arc::new(SystemClock),
        };
        let engine = Engine::open(EngineConfig::default(), parts).await?;
        engine.start().await?;
        let ctx = Ctx::new(engine.system_principal());
        Ok(Self { engine, ctx, root })
    }

    pub(crate) fn root(&self) -> HostRoot {
        self.root.clone()
    }

    pub(crate) async fn create(&self) -> Result<SandboxId> {
        let created = self
            .engine
            .create_sandbox(&self.ctx, CreateSandbox::default(), None)
            .await?;
        Ok(created.value.id)
    }

    pub(crate) async fn exec(&self, id: &SandboxId) -> Result<()> {
        let spec = CommandSpec::new(Program::Argv(vec![PROGRAM.to_owned()]));
        let ran = self
            .engine
            .run_command(&self.ctx, id, spec, None, RunOptions::default())
            .await?;
        let status = ran.command.state.exit_status().context("no exit status")?;
        ensure!(status.success(), "{PROGRAM} ended with {status:?}");
        Ok(())
    }

    /// What the sandbox holds now.
    pub(crate) async fn memory_bytes(&self, id: &SandboxId) -> Result<u64> {
        Ok(self.engine.sandbox_gauge(&self.ctx, id).await?.memory_bytes)
    }

    pub(crate) async fn destroy(&self, id: &SandboxId) -> Result<()> {
        self.engine.destroy_sandbox(&self.ctx, id).await?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.engine.shutdown(Drain::DestroySandboxes).await;
    }
}
