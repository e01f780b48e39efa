//! Snapshots: images whose topmost part is the disk of a sandbox, as it was at one moment.
//!
//! ```text
//! copy of the disk -> record of the image        removal of the record -> of the copy
//! ```
//! A copy that no image tells of is swept, unless its record is on its way.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use pinfold_model::sandbox::validate_metadata;
use pinfold_model::{
    Code, Ctx, Error, Image, ImageConfig, ImageId, ImageName, ImageSource, Result, Sandbox,
    SandboxId, limits,
};

use super::check_name;
use crate::Engine;
use crate::engine::Shared;
use crate::errors::driver_error;
use crate::live::DiskCopy;
use crate::usecase::Note;

/// How to keep a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakeSnapshot {
    /// Taken from the image that has it. `None`: the image is called by its id only.
    pub name: Option<ImageName>,
    /// Over those of the image that the sandbox was made from; bounded as metadata is.
    pub labels: BTreeMap<String, String>,
}

/// Copies whose image is not recorded yet.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded(Mutex<HashSet<ImageId>>);

/// One of them, for as long as this is there.
pub(crate) struct OnItsWay {
    shared: Arc<Shared>,
    image: ImageId,
}

impl OnItsWay {
    pub(crate) fn new(shared: &Arc<Shared>, image: &ImageId) -> Self {
        shared.unrecorded.lock().insert(image.clone());
        Self {
            shared: Arc::clone(shared),
            image: image.clone(),
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.shared.unrecorded.lock().remove(&self.image);
    }
}

impl Unrecorded {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<ImageId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Keeps what a running, suspended or stopped sandbox has on its disk as an image of its project.
    /// Its processes stand still for the copy, which takes no longer for a larger disk. Of the
    /// sandbox's settings the image has workdir and user, and of its environment nothing.
    pub async fn snapshot_sandbox(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: TakeSnapshot,
    ) -> Result<Image> {
        let note = Note::new("sandbox.snapshot");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            request.name.as_ref().map_or(Ok(()), check_name)?;
            validate_metadata(&request.labels)?;
            let live = self.need_live(ctx, id).await?;
            note.of(live.project());
            self.inner.parts.driver.check_copy().map_err(driver_error)?;
            let _in_use = live.use_it();
            let sandbox = live.sandbox();
            let images = self.store().images();
            check_count(images.count_snapshots(&sandbox.project).await?)?;
            let base = self.image_below(&sandbox.spec).await?;
            let image = image_of(&sandbox, base, request, self.now());
            note.fact("image", image.id.as_str());
            let shared = Arc::clone(self.shared());
            self.detached(async move {
                let _on_its_way = OnItsWay::new(&shared, &image.id);
                live.copy_disk(DiskCopy::Snapshot(image.id.clone())).await?;
                shared.store.images().insert(&image).await?;
                Ok(image)
            })
            .await
        })
        .await
    }
}

fn check_count(kept: u64) -> Result<()> {
    if kept < limits::SNAPSHOTS_MAX {
        return Ok(());
    }
    let text =
        format!("the project has {kept} snapshots, which is as many as it may have; remove some");
    Err(Error::new(Code::QuotaExceeded, text).detail("quota", "snapshots"))
}

fn image_of(
    sandbox: &Sandbox,
    base: Image,
    request: TakeSnapshot,
    now: pinfold_model::Time,
) -> Image {
    let mut labels = base.config.labels;
    labels.extend(request.labels);
    Image {
        id: ImageId::generate(),
        project: Some(sandbox.project.clone()),
        source: ImageSource::Snapshot {
            sandbox: sandbox.id.clone(),
            base: base.id,
            on_host: base.source.is_on_host(),
        },
        layers: base.layers,
        config: ImageConfig {
            workdir: Some(sandbox.spec.workdir.clone()),
            user: Some(sandbox.spec.user.clone()),
            labels,
            ..base.config
        },
        size_bytes: base.size_bytes,
        names: request.name.into_iter().collect(),
        created_at: now,
    }
}

/// Removes copies that no image tells of.
pub(crate) async fn sweep(shared: &Shared) -> Result<()> {
    // What is recorded between the first look and the last is in one of the two behind it.
    let copies = shared.driver.snapshots().await.map_err(driver_error)?;
    let on_their_way = shared.unrecorded.lock().clone();
    for copy in copies {
        if on_their_way.contains(&copy) || shared.store.images().disk_is_used(&copy).await? {
            continue;
        }
        tracing::info!(image = %copy, "removing a snapshot without an image");
        let removed = shared.driver.remove_snapshot(&copy).await;
        removed.map_err(driver_error)?;
    }
    Ok(())
}
