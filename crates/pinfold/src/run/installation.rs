//! What an embedded run has of the installation on this machine: its images and templates, and the
//! place where images that it pulls are kept for later runs and servers.

use anyhow::{Context, Result};
use pinfold_engine::{Drain, EngineConfig, PullImage, PullPolicy};
use pinfold_model::{Ctx, Error, Image, ImageId, ImageName, ProjectId, Time};
use pinfold_store::Store;

use crate::compose;
use crate::paths::DataDir;
use crate::pulling;

#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) data: DataDir,
    /// PostgreSQL where the records are, if not beside the images.
    pub(crate) database: Option<String>,
    /// How a missing image is pulled.
    pub(crate) pull: EngineConfig,
}

impl Installation {
    /// Tells `store` what the installation knows under that name. The installation's own database
    /// is only read; where there is none, nothing is known.
    pub(super) async fn teach(&self, name: &str, store: &Store) -> Result<()> {
        if self.database.is_none() && !self.data.database().exists() {
            return Ok(());
        }
        let theirs = compose::open_store(&self.data, self.database.as_deref()).await?;
        let now = Time::now();
        let home = theirs.projects().bootstrap(now).await?;
        if let Some(template) = theirs.templates().latest(&home.project.id, name).await? {
            copy_image(&theirs, store, &home.project.id, &template.spec.image).await?;
            store
                .templates()
                .set(None, &template.name, &template.spec, now)
                .await?;
        }
        let by_id = match name.parse() {
            Ok(id) => theirs.images().find(&id).await?,
            Err(_) => None,
        };
        match (by_id, name.parse::<ImageName>()) {
            (Some(image), _) => copy(store, image).await?,
            (None, Ok(name)) => copy_image(&theirs, store, &home.project.id, &name).await?,
            (None, Err(_)) => {}
        }
        Ok(())
    }

    /// Pulls the image of that name, or of the template of that name, into the installation, where
    /// later runs and servers find it; `missing` where that is not wanted.
    pub(super) async fn pull(
        &self,
        name: &str,
        missing: anyhow::Error,
        store: &Store,
    ) -> Result<()> {
        if self.pull.pull == PullPolicy::Never || name.parse::<ImageId>().is_ok() {
            return Err(missing);
        }
        let database = self.database.as_deref();
        let engine = compose::offline_engine(&self.data, database, self.pull.clone()).await?;
        let ctx = Ctx::new(engine.system_principal());
        let reference = match engine.get_template(&ctx, name, None).await {
            Ok(template) => template.spec.image.to_string(),
            Err(_) => name.to_owned(),
        };
        let pulled = pulling::watched(&engine, &ctx, PullImage::new(reference)).await;
        engine.shutdown(Drain::KeepSandboxes).await;
        let image = pulled.with_context(|| format!("there is no image {name:?} here"))?;
        copy(store, image).await
    }
}

async fn copy_image(
    theirs: &Store,
    ours: &Store,
    project: &ProjectId,
    name: &ImageName,
) -> Result<()> {
    match theirs.images().resolve(project, name).await? {
        Some(image) => copy(ours, image).await,
        None => Ok(()),
    }
}

/// With all its names, to everybody: nobody else uses that store.
async fn copy(ours: &Store, image: Image) -> Result<()> {
    if ours.images().get(&image.id).await?.is_some() {
        return Ok(());
    }
    let copied = ours
        .images()
        .insert(&Image {
            project: None,
            ..image
        })
        .await;
    copied
        .map_err(Error::from)
        .context("cannot use an image of the installation")
}
