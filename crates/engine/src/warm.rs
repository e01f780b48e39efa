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

use pinfold_model::{Error, ErrorKind, Image, Sandbox};
use pinfold_runtime::driver::BootSpec;
use pinfold_runtime::guest::Guest;

pub(crate) use pool::Pool;
use pool::{Claim, Kind, Primed, Step};

use crate::clock::later;
use crate::engine::Shared;
use crate::live::boot_spec;
use crate::sandboxes::default_hostname;

/// After a create nothing is booted for this long: more of them may come.
const QUIET: Duration = Duration::from_millis(100);

/// How often is looked for shapes to give up and guests that died.
const LOOK: Duration = Duration::from_secs(30);

/// What a create asks of the pool, from before its record to after it.
pub(crate) struct Wanted {
    kind: Kind,
    primed: Option<Primed>,
}

impl Wanted {
    /// Takes one that is ready for this sandbox, which takes over its id. `None` where it has to be
    /// booted for itself: what must be said before a boot (a hostname, mounts, another's disk) rules
    /// out one that has booted.
    pub(crate) fn of(shared: &Shared, sandbox: &mut Sandbox, image: &Image) -> Option<Self> {
        let spec = &sandbox.spec;
        let is_plain = spec.mounts.is_empty()
            && spec.forked_from.is_none()
            && image.disk().is_none()
            && spec.hostname == default_hostname(&sandbox.id);
        if shared.warm.is_off() || !is_plain {
            return None;
        }
        let kind = Kind {
            image: image.id.clone(),
            boot: boot_spec(shared, sandbox, image).ok()?,
        };
        let primed = shared.warm.take(&kind);
        if let Some(primed) = &primed {
            sandbox.id = primed.id().clone();
            sandbox.spec.hostname = default_hostname(primed.id());
        }
        Some(Self { kind, primed })
    }

    /// The sandbox is recorded and in the registry: its guest, and its kind is kept ready from here on.
    pub(crate) fn accepted(self, shared: &Shared) -> Option<Guest> {
        let hit = self.primed.is_some();
        let outcome = if hit { "hit" } else { "miss" };
        metrics::counter!("pinfold_warm_sandboxes_total", "outcome" => outcome).increment(1);
        shared.warm.asked(self.kind, shared.clock.now());
        self.primed.map(Primed::into_guest)
    }

    /// Nothing was recorded, so it goes back as nobody's; where that is not certain, it is destroyed.
    pub(crate) fn refused(self, shared: &Shared, why: Option<&Error>) {
        let Some(primed) = self.primed else {
            return;
        };
        match why.map(|error| error.code().kind()) {
            Some(ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Timeout) => {
                shared.warm.discard(primed);
            }
            _ => shared.warm.add(&self.kind, primed),
        }
    }
}

/// Boots and destroys as the pool says, until the engine ends; then destroys what is left, since
/// nobody can ever own it.
pub(crate) async fn keep(shared: Arc<Shared>) {
    if shared.warm.is_off() {
        return;
    }
    while !shared.ending.is_cancelled() {
        match shared.warm.next(shared.clock.now(), QUIET) {
            Step::Boot(kind, claim) => boot(&shared, *kind, claim).await,
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

async fn boot(shared: &Shared, kind: Kind, claim: Claim) {
    let id = claim.id().clone();
    let spec = BootSpec {
        hostname: default_hostname(&id),
        id,
        ..kind.boot.clone()
    };
    match shared.driver.boot(&spec).await {
        Ok(guest) => shared.warm.add(&kind, Primed::new(claim, guest)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "no warm sandbox until somebody asks for its kind again"
            );
            shared.warm.forget(&kind);
        }
    }
}

async fn destroy(shared: &Shared, primed: &Primed) {
    let id = primed.id();
    if let Err(error) = shared.driver.destroy(id).await {
        tracing::error!(sandbox = %id, %error, "a warm sandbox is left to the next sweep");
    }
}
