//! `pinfold pipeline run` without a server: a whole engine for one pipeline.
//!
//! As with `pinfold run` nothing is recorded beyond a directory of its own and no port is opened;
//! the engine's records are in memory, and the sandbox ends with this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use pinfold_engine::{Drain, Engine, EngineConfig, ImageOrTemplate, RunReader, SubmitRun};
use pinfold_model::{Ctx, PipelineRun, RunId};
use pinfold_runtime::driver::Driver;
use pinfold_runtime::namespace::{Disks, NamespaceDriver, Subnet};
use pinfold_sdk::PipelineEvent;
use pinfold_store::{Blobs, Store};

use super::installation::Installation;
use super::plan::is_missing_image;
use super::scratch::Scratch;
use super::{Place, Signals, leftovers};
use crate::commands::pipeline::{Source, View, follow};
use crate::compose;
use crate::exit::Ending;

/// What to run, and where images come from.
#[derive(Debug)]
pub(crate) struct PipelineWanted {
    pub(crate) request: SubmitRun,
    pub(crate) installation: Installation,
    pub(crate) subnet: Subnet,
}

/// Runs the pipeline to its end and leaves nothing behind.
pub(crate) async fn pipeline(
    wanted: PipelineWanted,
    mut signals: Signals,
    view: impl FnOnce(&PipelineRun) -> Result<View>,
) -> Result<Ending> {
    let place = Place::find(&wanted.installation.data)?;
    let scratch = Scratch::create(&place.runs)
        .with_context(|| format!("cannot use {}", place.runs.display()))?;
    let cleaning = tokio::spawn(leftovers::clean(place.runs.clone()));
    let ended = in_scratch(wanted, &place.images, &scratch, &mut signals, view).await;
    // Somebody else's remains must not fail this run.
    let _ = cleaning.await;
    if let Err(error) = scratch.remove() {
        tracing::warn!(%error, "this run's directory is left");
    }
    ended
}

async fn in_scratch(
    wanted: PipelineWanted,
    images: &Path,
    scratch: &Scratch,
    signals: &mut Signals,
    view: impl FnOnce(&PipelineRun) -> Result<View>,
) -> Result<Ending> {
    let (directory, instance) = (scratch.sandboxes(), scratch.instance());
    let subnet = wanted.subnet;
    let opening = move || compose::namespace_driver(directory, instance, Disks::Memory, subnet);
    let driver = tokio::task::spawn_blocking(opening)
        .await
        .context("the sandbox driver panicked")??;
    let driver = Arc::new(driver);
    let store = Store::in_memory().await?;
    let engine = engine(&driver, &store, images, scratch).await?;
    let ctx = Ctx::new(engine.system_principal());
    let submitted = tokio::select! {
        run = submit(&engine, &ctx, &store, wanted) => run,
        // An image that has to be pulled first takes minutes. What the engine had accepted by then
        // ends with it below.
        signal = signals.next_ending() => {
            engine.shutdown(Drain::DestroySandboxes).await;
            return Ok(Ending::Command(pinfold_model::ExitStatus::Signal(signal)));
        }
    };
    let ended = match submitted {
        Ok(run) => followed(&engine, &ctx, &run, signals, view).await,
        Err(error) => Err(error),
    };
    engine.shutdown(Drain::DestroySandboxes).await;
    driver.settle().await;
    ended
}

/// An engine that knows nothing yet. It is not started: its reconcilers would take what this
/// machine's installation keeps for garbage.
async fn engine(
    driver: &Arc<NamespaceDriver>,
    store: &Store,
    images: &Path,
    scratch: &Scratch,
) -> Result<Engine> {
    // Neither is written to: a run has no objects, and no axons.
    let blobs = Blobs::directory(&scratch.path().join("objects"))?;
    let axons = scratch.path().join("axons");
    let driver: Arc<dyn Driver> = driver.clone();
    let parts = compose::parts(
        store.clone(),
        driver,
        compose::layers(images)?,
        &scratch.journals(),
        blobs,
        &axons,
    )?;
    Ok(Engine::open(EngineConfig::embedded(), parts).await?)
}

async fn submit(
    engine: &Engine,
    ctx: &Ctx,
    store: &Store,
    wanted: PipelineWanted,
) -> Result<PipelineRun> {
    let request = wanted.request;
    let name = match &request.sandbox.from {
        ImageOrTemplate::Image(name) | ImageOrTemplate::Named(name) => Some(name.clone()),
        ImageOrTemplate::Template { template, .. } => Some(template.clone()),
        ImageOrTemplate::Default
        | ImageOrTemplate::TemplateVersion(_)
        | ImageOrTemplate::Snapshot(_)
        | ImageOrTemplate::Sandbox(_) => None,
    };
    let Some(name) = name else {
        return Ok(engine.submit_run(ctx, request, None).await?.value);
    };
    wanted.installation.teach(&name, store).await?;
    let missing = match engine.submit_run(ctx, request.clone(), None).await {
        Ok(accepted) => return Ok(accepted.value),
        Err(error) => anyhow::Error::from(error),
    };
    if !is_missing_image(&missing) {
        return Err(missing);
    }
    wanted.installation.pull(&name, missing, store).await?;
    Ok(engine.submit_run(ctx, request, None).await?.value)
}

async fn followed(
    engine: &Engine,
    ctx: &Ctx,
    run: &PipelineRun,
    signals: &mut Signals,
    view: impl FnOnce(&PipelineRun) -> Result<View>,
) -> Result<Ending> {
    let reader = engine.follow_run(ctx, run.id, 0).await?;
    let source = Embedded {
        engine: engine.clone(),
        ctx: ctx.clone(),
        id: run.id,
        reader,
    };
    follow(source, view(run)?, signals, None).await
}

struct Embedded {
    engine: Engine,
    ctx: Ctx,
    id: RunId,
    reader: RunReader,
}

impl Source for Embedded {
    async fn next(&mut self) -> Result<Option<PipelineEvent>> {
        let event = self.reader.next().await?;
        Ok(event.map(|(seq, event)| pinfold_api::pipeline_event(seq, event)))
    }

    fn cancel(&self) -> BoxFuture<'static, Result<()>> {
        let (engine, ctx, id) = (self.engine.clone(), self.ctx.clone(), self.id);
        async move { Ok(engine.cancel_run(&ctx, id).await.map(drop)?) }.boxed()
    }

    fn left(&self) -> Option<String> {
        None
    }
}
