//! What steps of builds left for later ones: how it is called, found, and let go.

use std::collections::HashSet;

use pinfold_model::build::BuildCache;
use pinfold_model::{Digest, Image, ImageId, Result, limits};
use serde::Serialize;
use sha2::Digest as _;

use super::owner::Owner;
use crate::engine::Shared;
use crate::errors::driver_error;
use crate::images;

/// Part of every key: to be changed together with what steps do.
const VERSION: u32 = 1;

/// What something was made from, in one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    /// What comes of doing `what` over `parent`, with what `input` hashes to.
    pub(super) fn of(parent: &Self, what: &impl Serialize, input: Option<[u8; 32]>) -> Self {
        Self::hash(&(VERSION, &parent.0, what, input))
    }

    /// An image as a whole: what is below everything that a build does with it.
    pub(super) fn image(shared: &Shared, image: &Image) -> Self {
        let host = image.source.is_on_host().then_some(shared.host.as_ref());
        let host = host.flatten().map(|host| &host.layer_dir);
        Self::hash(&(VERSION, &image.layers, image.disk(), host))
    }

    fn hash(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).expect("keys are made of plain data");
        Self(Digest::from_sha256(sha2::Sha256::digest(json).into()).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What of the cache can be booted here.
pub(super) struct Cache {
    copies: Option<HashSet<ImageId>>,
}

impl Cache {
    pub(super) async fn open(shared: &Shared, mode: BuildCache) -> Result<Self> {
        let copies = match mode {
            BuildCache::Ignore => None,
            BuildCache::Use => {
                let copies = shared.driver.snapshots().await.map_err(driver_error)?;
                Some(copies.into_iter().collect())
            }
        };
        Ok(Self { copies })
    }

    pub(super) async fn find(&self, owner: &Owner, key: &Key) -> Result<Option<Image>> {
        let Some(copies) = &self.copies else {
            return Ok(None);
        };
        let images = owner.shared.store.images();
        let found = images.find_step(&owner.build.project, key.as_str()).await?;
        let found = found.filter(|image| image.disk().is_some_and(|disk| copies.contains(disk)));
        let Some(image) = found else {
            return Ok(None);
        };
        owner.stand_on(&image.id);
        // One that nobody can note anything about has been let go since it was found.
        let used = images.step_used(&image.id, owner.shared.clock.now());
        Ok(used.await?.then_some(image))
    }

    /// Notes that a step before one that was found was of use.
    pub(super) async fn passed(&self, owner: &Owner, key: &Key) -> Result<()> {
        if self.copies.is_none() {
            return Ok(());
        }
        let (images, now) = (owner.shared.store.images(), owner.shared.clock.now());
        let project = &owner.build.project;
        Ok(images.step_passed(project, key.as_str(), now).await?)
    }
}

/// Lets go of what no build has taken for long, and of the oldest where a project has too much; never
/// of what a build stands on at this moment.
pub(crate) async fn retire_steps(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let before = now.checked_sub(limits::BUILD_STEPS_KEPT_FOR).unwrap_or(now);
    let (mut scope, mut kept) = (String::new(), 0);
    for step in shared.store.images().list_steps().await? {
        if step.scope != scope {
            scope.clone_from(&step.scope);
            kept = 0;
        }
        kept += 1;
        if kept <= limits::BUILD_STEPS_KEPT_MAX && step.used_at >= before {
            continue;
        }
        if shared.builds.stands_on(&step.id) {
            continue;
        }
        images::retire_step(shared, &step).await?;
    }
    Ok(())
}
