//! Use cases of images: importing, pulling, looking them up, removing them.

mod described;
mod export;
mod flight;
mod pull;
mod snapshots;

use std::ops::ControlFlow;
use std::path::PathBuf;

use pinfold_images::{HostRoot, Importer};
use pinfold_model::{
    Code, Ctx, Error, Image, ImageConfig, ImageId, ImageName, ImageSource, Level, Resource, Result,
    SandboxSpec,
};
use pinfold_store::{Page, PageRequest, StepImage, Withdrawal};

use crate::engine::Shared;
use crate::usecase::Note;
use crate::{Engine, Share};

pub use described::DescribeSnapshot;
pub use export::ImageExport;
pub use flight::{ImagePull, PullEnding, PullFailure};
pub use pinfold_images::Progress as ImageProgress;
pub use pull::PullImage;
pub use snapshots::TakeSnapshot;

pub(crate) use export::Exports;
pub(crate) use flight::Pulls;
pub(crate) use snapshots::{OnItsWay, Unrecorded, sweep as sweep_snapshots};

/// The image every installation has.
const HOST: &str = "host";

/// What to import.
#[derive(Debug, Clone)]
pub struct ImageImport {
    pub name: ImageName,
    /// A file or directory of this machine that the operator, or the facade that stored an upload,
    /// vouches for: a tar of a root filesystem (plain, gzip, zstd), or an OCI layout as a directory
    /// or a tar.
    pub path: PathBuf,
    /// Which image of a layout that holds several.
    pub select: Option<String>,
    pub share: Share,
}

/// Called about once a MiB of source, from another thread. Answering `Break` ends the import.
pub type OnImageProgress = Box<dyn FnMut(ImageProgress) -> ControlFlow<()> + Send>;

impl Engine {
    /// Imports an image and gives it the name, taking it from the image that had it.
    pub async fn import_image(
        &self,
        ctx: &Ctx,
        import: ImageImport,
        on_progress: OnImageProgress,
    ) -> Result<Image> {
        let note = Note::new("image.import");
        note.fact("name", import.name.to_string());
        self.audited(ctx, &note, async {
            let project = self.owner(ctx, import.share)?;
            check_name(&import.name)?;
            let id = ImageId::generate();
            note.about(id.as_str());
            let image = Image {
                id,
                project,
                // Known when it is unpacked, as are layers, configuration and size.
                source: ImageSource::Tar,
                layers: Vec::new(),
                config: ImageConfig::default(),
                size_bytes: 0,
                names: vec![import.name.clone()],
                created_at: self.now(),
            };
            self.import_and_record(image, import, on_progress).await
        })
        .await
    }

    /// An image by id, or by name as the caller's project means it.
    pub async fn get_image(&self, ctx: &Ctx, name_or_id: &str) -> Result<Image> {
        self.timed(ctx, "image.get", self.image(ctx, name_or_id))
            .await
    }

    /// The images of the caller's project and the shared ones, newest first.
    pub async fn list_images(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Image>> {
        self.timed(ctx, "image.list", async {
            Ok(self
                .store()
                .images()
                .list(&ctx.principal.project, page)
                .await?)
        })
        .await
    }

    /// Removes an image that no live sandbox was made from, forks included. Its layers go when no
    /// other image refers to them.
    pub async fn remove_image(&self, ctx: &Ctx, name_or_id: &str) -> Result<()> {
        self.remove_noted(ctx, Note::new("image.remove"), name_or_id)
            .await
    }

    /// The same also while live sandboxes were made from it: then nobody finds it from now on, and it
    /// goes after the last of them has ended.
    pub async fn withdraw_image(&self, ctx: &Ctx, id: &ImageId) -> Result<()> {
        self.withdraw_noted(ctx, Note::new("image.remove"), id)
            .await
    }

    /// As a part of the use case that the note tells of, by whose scope it is admitted.
    async fn remove_noted(&self, ctx: &Ctx, note: Note, name_or_id: &str) -> Result<()> {
        note.fact("image", name_or_id);
        self.audited(ctx, &note, async {
            let image = self.removable(ctx, &note, name_or_id).await?;
            remove(self.shared(), &image).await
        })
        .await
    }

    async fn withdraw_noted(&self, ctx: &Ctx, note: Note, id: &ImageId) -> Result<()> {
        note.fact("image", id.as_str());
        self.audited(ctx, &note, async {
            let image = self.removable(ctx, &note, id.as_str()).await?;
            let images = self.store().images();
            match images.withdraw(&image.id, self.now()).await? {
                Withdrawal::Deleted => forget_disk(self.shared(), &image).await,
                Withdrawal::Deferred => Ok(()),
            }
        })
        .await
    }

    /// The image, if it is for the caller to remove.
    async fn removable(&self, ctx: &Ctx, note: &Note, name_or_id: &str) -> Result<Image> {
        let image = self.image(ctx, name_or_id).await?;
        note.about(image.id.as_str());
        check_snapshot(ctx, &image, Level::Write)?;
        if image.project.is_none() {
            ctx.require_admin()?;
        }
        if image.source == ImageSource::Host {
            return Err(Error::new(
                Code::InUse,
                "the image \"host\" is built in and cannot be removed",
            ));
        }
        Ok(image)
    }

    /// What a live sandbox was made from, withdrawn or not.
    pub(crate) async fn image_below(&self, spec: &SandboxSpec) -> Result<Image> {
        let found = self.store().images().get(&spec.image).await?;
        found.ok_or_else(|| not_found(spec.image.as_str()))
    }

    pub(crate) async fn image(&self, ctx: &Ctx, name_or_id: &str) -> Result<Image> {
        let found = match name_or_id.parse::<ImageId>() {
            Ok(id) => match self.store().images().find(&id).await? {
                Some(image) if self.sees_image(ctx, &image).await? => Some(image),
                _ => None,
            },
            Err(_) => {
                let name: ImageName = name_or_id.parse()?;
                self.store()
                    .images()
                    .resolve(&ctx.principal.project, &name)
                    .await?
            }
        };
        found.ok_or_else(|| not_found(name_or_id))
    }

    /// Records the image `host` in a store that has none.
    pub(crate) async fn ship_host_image(&self, host: Option<HostRoot>) -> Result<()> {
        let name = host_name()?;
        let images = self.store().images();
        if images
            .resolve(&self.inner.home.project.id, &name)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let image = Image {
            id: ImageId::generate(),
            project: None,
            source: ImageSource::Host,
            layers: Vec::new(),
            config: host.map(|root| root.config).unwrap_or_default(),
            size_bytes: 0,
            names: vec![name],
            created_at: self.now(),
        };
        Ok(images.insert(&image).await?)
    }

    async fn sees_image(&self, ctx: &Ctx, image: &Image) -> Result<bool> {
        match &image.project {
            None => Ok(true),
            Some(project) => self.sees(ctx, project).await,
        }
    }

    /// In a task of its own: unpacking blocks, and the record has to follow the layers even if the
    /// caller goes away.
    async fn import_and_record(
        &self,
        mut image: Image,
        import: ImageImport,
        mut on_progress: OnImageProgress,
    ) -> Result<Image> {
        let shared = self.shared().clone();
        let layers = shared.layers.clone();
        self.detached(async move {
            let unpack = move || {
                let select = import.select.as_deref();
                Importer::new(&layers).import(&import.path, select, &mut *on_progress)
            };
            let unpacked = tokio::task::spawn_blocking(unpack).await;
            let imported = unpacked.map_err(Error::internal)??;
            image.source = imported.source;
            image.layers = imported.layers;
            image.config = imported.config;
            image.size_bytes = imported.size_bytes;
            shared.store.images().insert(&image).await?;
            drop(imported.lease);
            Ok(image)
        })
        .await
    }
}

/// What was on a sandbox's disk takes the scope of snapshots, whoever comes to it as an image.
pub(crate) fn check_snapshot(ctx: &Ctx, image: &Image, level: Level) -> Result<()> {
    match image.source.is_snapshot() {
        true => ctx.require(Resource::Snapshots, level),
        false => Ok(()),
    }
}

/// Removes an image, and the copy of a disk that it begins with where no other one does.
pub(crate) async fn remove(shared: &Shared, image: &Image) -> Result<()> {
    let images = shared.store.images();
    images.delete(&image.id, shared.clock.now()).await?;
    forget_disk(shared, image).await
}

/// Removes what a step of a build left, unless something has used it since it was listed.
pub(crate) async fn retire_step(shared: &Shared, step: &StepImage) -> Result<()> {
    let images = shared.store.images();
    let Some(image) = images.get(&step.id).await? else {
        return Ok(());
    };
    match images.retire_step(step, shared.clock.now()).await? {
        true => forget_disk(shared, &image).await,
        false => Ok(()),
    }
}

/// Removes what was withdrawn and has served its last sandbox.
pub(crate) async fn remove_withdrawn(shared: &Shared) -> Result<()> {
    for image in shared.store.images().withdrawn_unused().await? {
        match remove(shared, &image).await {
            // A fork began in between.
            Err(error) if error.code() == Code::InUse => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Removes the copy of a disk that the image began with, where it was the last.
async fn forget_disk(shared: &Shared, image: &Image) -> Result<()> {
    let images = shared.store.images();
    if let Some(disk) = image.disk()
        && !images.disk_is_used(disk).await?
        && let Err(error) = shared.driver.remove_snapshot(disk).await
    {
        tracing::warn!(image = %image.id, %error, "its copy is left to the sweep");
    }
    Ok(())
}

fn host_name() -> Result<ImageName> {
    HOST.parse()
}

/// Names that callers may give: one for `host` would hide this machine's own view, and one with a
/// digest would claim what was never verified.
pub(crate) fn check_name(name: &ImageName) -> Result<()> {
    if *name == host_name()? {
        return Err(Error::new(
            Code::AlreadyExists,
            "the name \"host\" stands for this machine's own view; choose another",
        ));
    }
    match name.digest() {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "name",
            "a name with a digest is given only to what is pulled by it; choose another",
        )),
    }
}

fn not_found(name: &str) -> Error {
    Error::new(
        Code::ImageNotFound,
        format!("no image {name:?}; import or pull it first, or use \"host\""),
    )
}
