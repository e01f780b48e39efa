//! What to boot and what to start in it, as an engine decides: names resolved, limits checked,
//! templates applied. The engine works on a store in memory that knows the installation's images.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use pinfold_engine::{CreateSandbox, Engine, EngineConfig, HostLook, ImageOrTemplate, Wait};
use pinfold_model::{
    Code, CommandId, CommandSpec, Ctx, Error, Image, NetworkPolicy, Sandbox, SandboxId, StdinMode,
};
use pinfold_runtime::driver::BootSpec;
use pinfold_runtime::guest::StartSpec;
use pinfold_store::{Blobs, Store};
use tokio::sync::mpsc;

use super::Wanted;
use super::scratch::Scratch;
use crate::compose;
use crate::planning::Planning;

pub(super) struct Plan {
    pub(super) boot: BootSpec,
    pub(super) start: StartSpec,
    /// Where its network obeys one.
    pub(super) policy: NetworkPolicy,
    pub(super) name_servers: Vec<SocketAddr>,
}

/// Far above what resolving takes: nothing is booted while this is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn make(wanted: Wanted, images: &Path, scratch: &Scratch) -> Result<Plan> {
    wanted.command.validate()?;
    let layers = compose::layers(images)?;
    // Both take milliseconds, on different threads.
    let looking = HostLook::begin(&layers);
    let store = Store::in_memory().await?;
    if let Some(name) = &wanted.image {
        wanted.installation.teach(name, &store).await?;
    }
    tracing::debug!("store open");
    let (driver, orders) = Planning::new();
    // Neither is written to: a run has no objects, and no axons.
    let blobs = Blobs::directory(&scratch.path().join("objects"))?;
    let parts = compose::parts(
        store.clone(),
        Arc::new(driver),
        layers,
        &scratch.journals(),
        blobs,
        &scratch.path().join("axons"),
    )?;
    let engine = Engine::open_looking(EngineConfig::embedded(), parts, looking).await?;
    tracing::debug!("engine open");
    let ctx = Ctx::new(engine.system_principal());
    let named = wanted.image.clone();
    let request = CreateSandbox {
        wait: Wait::No,
        from: named.map_or(ImageOrTemplate::Default, ImageOrTemplate::Named),
        ..wanted.sandbox.clone()
    };
    let create = async || {
        let accepted = engine.create_sandbox(&ctx, request.clone(), None).await;
        accepted.map(|it| it.value).map_err(anyhow::Error::from)
    };
    let sandbox = match create().await {
        Err(error) if is_missing_image(&error) => {
            let Some(name) = &wanted.image else {
                return Err(error);
            };
            wanted.installation.pull(name, error, &store).await?;
            create().await?
        }
        answer => answer?,
    };
    let image = engine.get_image(&ctx, sandbox.spec.image.as_str()).await?;
    let boot = ordered(&engine, &ctx, &sandbox.id, orders).await?;
    Ok(Plan {
        boot,
        policy: sandbox.spec.network_policy.clone(),
        name_servers: wanted.name_servers,
        start: start(&sandbox, &image, wanted.command),
    })
}

pub(super) fn is_missing_image(error: &anyhow::Error) -> bool {
    let engines = error.downcast_ref::<Error>();
    engines.is_some_and(|error| error.code() == Code::ImageNotFound)
}

/// The order to boot, or why the engine gives none.
async fn ordered(
    engine: &Engine,
    ctx: &Ctx,
    id: &SandboxId,
    mut orders: mpsc::Receiver<BootSpec>,
) -> Result<BootSpec> {
    tokio::select! {
        order = orders.recv() => order.context("the engine ended too early"),
        sandbox = engine.wait_sandbox(ctx, id, PATIENCE) => {
            let why = sandbox?.failure.unwrap_or_else(|| "it took too long".to_owned());
            Err(anyhow!("the sandbox cannot be booted: {why}"))
        }
    }
}

/// The command over the sandbox over the image.
fn start(sandbox: &Sandbox, image: &Image, command: CommandSpec) -> StartSpec {
    let mut env = image.config.env.clone();
    env.extend(sandbox.spec.env.clone());
    env.extend(command.env);
    StartSpec {
        id: CommandId::generate(),
        // Nobody else knows this id.
        fingerprint: Vec::new(),
        program: command.program,
        cwd: sandbox.spec.workdir.clone(),
        make_cwd: true,
        env,
        user: sandbox.spec.user.clone(),
        stdin: command.stdin == StdinMode::Open,
        input: Default::default(),
        terminal: command.tty,
        timeout: command.timeout,
    }
}
