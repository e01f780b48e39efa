//! Sandboxes that are booted before anybody asks for them.
//!
//! A warm sandbox has a guest and an id of its own, and no record: it belongs to nobody. Who creates
//! one of its shape gets it with its id, once and for good; nothing that anybody has used comes back
//! here. Since no record names it, one that a crash leaves is an orphan like any other.
//!
//! A cache with bounds: so many in all, shared out evenly among the shapes that creates have asked
//! for lately, and only while no create is under way, so that it takes no CPU from those.

mod pool;

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{Image, Sandbox};
use pinfold_runtime::driver::BootSpec;

use pool::{Claim, Step};
pub(crate) use pool::{Pool, Primed};

use crate::clock::later;
use crate::engine::Shared;
use crate::live::boot_spec;
use crate::sandboxes::default_hostname;

/// After a create nothing is booted for this long: more of them may come.
const QUIET: Duration = Duration::from_millis(100);

/// How often is looked for shapes to give up and guests that died.
const LOOK: Duration = Duration::from_secs(30);

/// One that is ready for this sandbox, which takes over its id. What has to be said of a sandbox
/// before it boots (a hostname, mounts, another's disk) rules that out.
pub(crate) fn take(shared: &Shared, sandbox: &mut Sandbox, image: &Image) -> Option<Primed> {
    let spec = &sandbox.spec;
    let is_plain = spec.mounts.is_empty()
        && spec.forked_from.is_none()
        && image.disk().is_none()
        && spec.hostname == default_hostname(&sandbox.id);
    if shared.warm.is_off() || !is_plain {
        return None;
    }
    let boot = boot_spec(shared, sandbox, image).ok()?;
    let primed = shared.warm.take(boot, shared.clock.now());
    let outcome = if primed.is_some() { "hit" } else { "miss" };
    metrics::counter!("pinfold_warm_sandboxes_total", "outcome" => outcome).increment(1);
    let primed = primed?;
    sandbox.id = primed.id().clone();
    sandbox.spec.hostname = default_hostname(primed.id());
    Some(primed)
}

/// Boots and destroys as the pool says, until the engine ends; then destroys what is left, since
/// nobody can ever own it.
pub(crate) async fn keep(shared: Arc<Shared>) {
    if shared.warm.is_off() {
        return;
    }
    while !shared.ending.is_cancelled() {
        match shared.warm.next(shared.clock.now(), QUIET) {
            Step::Boot(shape, claim) => boot(&shared, *shape, claim).await,
            Step::Destroy(primed) => destroy(&shared, &primed).await,
            Step::Pause(pause) => tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.ending.cancelled() => {}
            },
            Step::Rest => tokio::select! {
                () = shared.clock.sleep_until(later(shared.clock.now(), LOOK)) => {}
                () = shared.warm.changed() => {}
                () = shared.ending.cancelled() => {}
            },
        }
    }
    for primed in shared.warm.close() {
        destroy(&shared, &primed).await;
    }
}

async fn boot(shared: &Shared, shape: BootSpec, claim: Claim) {
    let id = claim.id().clone();
    let spec = BootSpec {
        hostname: default_hostname(&id),
        id,
        ..shape
    };
    match shared.driver.boot(&spec).await {
        Ok(guest) => shared.warm.add(&spec, Primed::new(claim, guest)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "no warm sandbox until somebody asks for its kind again"
            );
            shared.warm.forget(&spec);
        }
    }
}

async fn destroy(shared: &Shared, primed: &Primed) {
    let id = primed.id();
    if let Err(error) = shared.driver.destroy(id).await {
        tracing::error!(sandbox = %id, %error, "a warm sandbox is left to the next sweep");
    }
}
