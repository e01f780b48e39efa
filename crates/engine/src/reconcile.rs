//! Reconcilers: make true, again and again, what has to be true in the end. Each can be repeated
//! and interrupted at any point.

mod journals;
mod objects;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{Result, SandboxId};

use crate::clock::later;
use crate::engine::Shared;

/// Starts all of them. They end with the engine.
pub(crate) fn start(shared: &Arc<Shared>) {
    shared.tasks.spawn(metering(Arc::clone(shared)));
    shared.tasks.spawn(housekeeping(Arc::clone(shared)));
    shared.tasks.spawn(object_keeping(Arc::clone(shared)));
    shared.tasks.spawn(axon_keeping(Arc::clone(shared)));
    shared.tasks.spawn(terminal_keeping(Arc::clone(shared)));
}

/// Asks every owner to record what its sandbox used.
async fn metering(shared: Arc<Shared>) {
    while tick(&shared, shared.config.metering_every).await {
        for live in shared.registry.sandboxes() {
            live.ask_to_meter();
        }
    }
}

async fn housekeeping(shared: Arc<Shared>) {
    while tick(&shared, shared.config.reconcile_every).await {
        report("idempotency keys", purge_idempotency(&shared).await);
        report("preview links", purge_preview_links(&shared).await);
        report("SSH keys", purge_ssh_keys(&shared).await);
        report("tunnels", purge_tunnels(&shared).await);
        report(
            "network policies",
            crate::network_policies::reconcile(&shared).await,
        );
        report("journals", journals::retire(&shared).await);
        report("code contexts", crate::code::reconcile(&shared).await);
        report("runs of pipelines", purge_runs(&shared).await);
        report("builds", purge_builds(&shared).await);
        report(
            "steps of builds",
            crate::builds::retire_steps(&shared).await,
        );
        report(
            "withdrawn images",
            crate::images::remove_withdrawn(&shared).await,
        );
        report("layers", sweep_layers(&shared).await);
        report("snapshots", crate::images::sweep_snapshots(&shared).await);
        match shared.store.sandboxes().list_live().await {
            Ok(live) => {
                let known = live.into_iter().map(|sandbox| sandbox.id).collect();
                destroy_orphans(Arc::clone(&shared), known).await;
            }
            Err(error) => report("orphans", Err(error.into())),
        }
    }
}

/// In a task of its own: a slow object storage holds up nothing else. Its first turn is at the
/// start, since what it looks for is what crashes leave.
async fn object_keeping(shared: Arc<Shared>) {
    loop {
        report("objects", objects::retire(&shared).await);
        report("object storage", objects::sweep(&shared).await);
        if !tick(&shared, shared.config.reconcile_every).await {
            return;
        }
    }
}

/// The same for what crashes leave of deleted axons.
async fn axon_keeping(shared: Arc<Shared>) {
    loop {
        report("axons", crate::axons::sweep(&shared).await);
        if !tick(&shared, shared.config.reconcile_every).await {
            return;
        }
    }
}

/// In a task of its own: guests that do not answer hold up nothing else.
async fn terminal_keeping(shared: Arc<Shared>) {
    while tick(&shared, shared.config.reconcile_every).await {
        tokio::select! {
            result = crate::sessions::reconcile(&shared) => report("terminals", result),
            // What is left of it is done after the next start.
            () = shared.ending.cancelled() => return,
        }
    }
}

/// Waits for the next turn; `false` when the engine ends.
async fn tick(shared: &Shared, every: Duration) -> bool {
    let at = later(shared.clock.now(), every);
    tokio::select! {
        () = shared.clock.sleep_until(at) => true,
        () = shared.ending.cancelled() => false,
    }
}

fn report(what: &str, result: Result<()>) {
    if let Err(error) = result {
        tracing::error!(
            what,
            error = &error as &dyn std::error::Error,
            "reconciling failed"
        );
    }
}

/// Destroys what is on this machine and no record says is live. `live` may be older than the
/// survey, so what has an owner by now is left alone; what is warm gets its owner before it leaves
/// the pool.
pub(crate) async fn destroy_orphans(shared: Arc<Shared>, live: HashSet<SandboxId>) {
    let remains = match shared.driver.survey().await {
        Ok(remains) => remains,
        Err(error) => {
            tracing::error!(%error, "cannot look for orphans");
            return;
        }
    };
    for orphan in remains {
        let id = &orphan.id;
        if live.contains(id) || shared.warm.holds(id) || shared.registry.sandbox(id).is_some() {
            continue;
        }
        if shared.ending.is_cancelled() {
            return;
        }
        tracing::info!(sandbox = %orphan.id, alive = orphan.alive, "destroying an orphan");
        metrics::counter!("pinfold_orphans_destroyed_total").increment(1);
        if let Err(error) = shared.driver.destroy(&orphan.id).await {
            tracing::error!(sandbox = %orphan.id, %error, "an orphan is left");
        }
    }
}

async fn purge_idempotency(shared: &Shared) -> Result<()> {
    let purged = shared.store.idempotency().purge(shared.clock.now()).await?;
    tracing::debug!(purged, "idempotency keys");
    Ok(())
}

/// Runs are forgotten together with what their steps wrote.
async fn purge_runs(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let before = now
        .checked_sub(shared.config.journal_retention)
        .unwrap_or(now);
    let purged = shared.store.pipeline_runs().purge(before).await?;
    tracing::debug!(purged, "runs of pipelines");
    Ok(())
}

/// Builds are forgotten together with what their steps wrote, unless what they made is still there.
async fn purge_builds(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let before = now
        .checked_sub(shared.config.journal_retention)
        .unwrap_or(now);
    let purged = shared.store.builds().purge(before).await?;
    tracing::debug!(purged, "builds");
    Ok(())
}

async fn purge_preview_links(shared: &Shared) -> Result<()> {
    let purged = shared
        .store
        .previews()
        .purge_links(shared.clock.now())
        .await?;
    tracing::debug!(purged, "preview links");
    Ok(())
}

/// Keys of a sandbox are kept for as long as its output, so that who knocks is told that it has ended.
async fn purge_ssh_keys(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let ended_by = now
        .checked_sub(shared.config.journal_retention)
        .unwrap_or(now);
    let purged = shared.store.ssh_keys().purge(now, ended_by).await?;
    tracing::debug!(purged, "SSH keys");
    Ok(())
}

/// Tunnels likewise.
async fn purge_tunnels(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let ended_by = now
        .checked_sub(shared.config.journal_retention)
        .unwrap_or(now);
    let purged = shared.store.tunnels().purge(ended_by).await?;
    tracing::debug!(purged, "tunnels");
    Ok(())
}

/// Removes layers that no image refers to.
async fn sweep_layers(shared: &Arc<Shared>) -> Result<()> {
    let handle = tokio::runtime::Handle::current();
    let shared = Arc::clone(shared);
    let sweep = move || -> Result<()> {
        let Some(sweep) = shared.layers.sweep()? else {
            return Ok(());
        };
        // Imports wait while the sweep lives, so what is referenced now is all that will be.
        let referenced = handle.block_on(shared.store.images().referenced_layers())?;
        sweep.remove_unreferenced(&referenced)?;
        Ok(())
    };
    tokio::task::spawn_blocking(sweep)
        .await
        .map_err(pinfold_model::Error::internal)?
}
