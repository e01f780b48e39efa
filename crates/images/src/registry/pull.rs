//! A pull as a whole.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, StreamExt, TryStreamExt};
use oci_spec::image::{DescriptorBuilder, ImageIndexBuilder, MediaType, OciLayoutBuilder};
use pinfold_model::Digest;
use tokio::sync::watch;

use super::credentials::Credentials;
use super::download;
use super::egress::{Reach, Scheme};
use super::error::PullError;
use super::manifest::{self, Found};
use super::platform::Platform;
use super::progress::{LayerProgress, PullPhase, PullProgress, Reporter};
use super::reference::Reference;
use super::session::Session;
use crate::import::{Imported, Importer};
use crate::limits::Limits;
use crate::oci::{BlobRef, layer_blob};
use crate::store::{LayerStore, Staging};

/// Layers of one pull that are downloaded at a time.
const DOWNLOADS_MAX: usize = 3;

/// What to pull, and how.
#[derive(Debug, Clone)]
pub struct PullRequest {
    pub reference: Reference,
    pub platform: Platform,
    pub credentials: Credentials,
    /// Plain HTTP. Without it that is for registries of this machine only.
    pub insecure: bool,
    /// Whether the registry may be one beside this server.
    pub reach: Reach,
}

/// Pulls into one store, within bounds.
#[derive(Debug, Clone)]
pub struct Puller {
    store: LayerStore,
    limits: Limits,
}

/// An image that a registry has: found and chosen, not downloaded.
pub struct Pulled {
    puller: Puller,
    session: Session,
    platform: Platform,
    found: Found,
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pulled").field(&self.found.digest).finish()
    }
}

impl Puller {
    #[must_use]
    pub fn new(store: LayerStore) -> Self {
        Self {
            store,
            limits: Limits::default(),
        }
    }

    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks the registry what the reference means now.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn find(&self, request: PullRequest) -> Result<Pulled, PullError> {
        let scheme = Scheme::of(&request.reference, request.insecure);
        let (reference, credentials) = (request.reference, request.credentials);
        let session = Session::open(reference, credentials, scheme, request.reach).await?;
        let found = manifest::find(&session, &request.platform, &self.limits).await?;
        Ok(Pulled {
            puller: self.clone(),
            session,
            platform: request.platform,
            found,
        })
    }
}

impl Pulled {
    /// Of the manifest that was chosen.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.found.digest
    }

    #[must_use]
    pub fn reference(&self) -> &Reference {
        self.session.reference()
    }

    /// Downloads and unpacks. Dropping the future ends the work.
    ///
    /// # Errors
    /// See [`PullError`]; nothing is left in the store but whole layers that no image uses yet.
    pub async fn fetch(
        self,
        progress: Arc<watch::Sender<PullProgress>>,
    ) -> Result<Imported, PullError> {
        let reporter = Reporter(progress);
        let layers = self.layers()?;
        reporter.layers(layers.iter().map(nothing_yet).collect());
        reporter.phase(PullPhase::Downloading);
        let staging = self.staging().await?;
        self.download(&layers, &blobs_dir(staging.path()), &reporter)
            .await?;
        reporter.phase(PullPhase::Unpacking);
        unpack(self.puller, self.platform, staging, reporter).await
    }

    /// The layers' blobs, lowest first, none twice.
    fn layers(&self) -> Result<Vec<BlobRef>, PullError> {
        let limits = &self.puller.limits;
        let too_many = |what: &str, limit: u64| {
            self.session
                .protocol("a manifest", format!("it has more {what} than {limit}"))
        };
        let layers = self.found.manifest.layers();
        if layers.len() > limits.layers {
            return Err(too_many("layers", limits.layers as u64));
        }
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        for layer in layers {
            let blob = layer_blob(layer)?;
            if seen.insert(blob.digest.clone()) {
                blobs.push(blob);
            }
        }
        let total = blobs
            .iter()
            .fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        if total > limits.stream_bytes {
            return Err(too_many("bytes", limits.stream_bytes));
        }
        Ok(blobs)
    }

    /// A layout with all but the blobs that are still to come.
    async fn staging(&self) -> Result<Staging, PullError> {
        let store = self.puller.store.clone();
        let (json, digest) = (self.found.json.clone(), self.found.digest.clone());
        let make = move || {
            let staging = Staging::new(&store).map_err(crate::error::ImportError::from)?;
            write_layout(staging.path(), &json, &digest).map_err(PullError::Write)?;
            Ok(staging)
        };
        blocking(make).await
    }

    async fn download(
        &self,
        layers: &[BlobRef],
        directory: &Path,
        reporter: &Reporter,
    ) -> Result<(), PullError> {
        let configuration = BlobRef::of(self.found.manifest.config())?;
        let limit = self.puller.limits.document_bytes;
        if configuration.size > limit {
            let problem = format!("it is larger than {limit} bytes");
            return Err(self.session.protocol("a configuration", problem));
        }
        let session = &self.session;
        if !layers
            .iter()
            .any(|layer| layer.digest == configuration.digest)
        {
            let path = directory.join(configuration.digest.hex());
            download::blob(session, &configuration, &path, None).await?;
        }
        let downloads: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(place, layer)| {
                let path = directory.join(layer.digest.hex());
                let reporter = reporter.layer(place);
                async move { download::blob(session, layer, &path, Some(reporter)).await }.boxed()
            })
            .collect();
        futures::stream::iter(downloads)
            .buffer_unordered(DOWNLOADS_MAX)
            .try_collect()
            .await
    }
}

fn nothing_yet(layer: &BlobRef) -> LayerProgress {
    LayerProgress {
        digest: layer.digest.clone(),
        downloaded_bytes: 0,
        total_bytes: layer.size,
    }
}

fn blobs_dir(layout: &Path) -> PathBuf {
    layout.join("blobs/sha256")
}

fn write_layout(directory: &Path, manifest: &[u8], digest: &Digest) -> std::io::Result<()> {
    let other = std::io::Error::other;
    let blobs = blobs_dir(directory);
    std::fs::create_dir_all(&blobs)?;
    std::fs::write(blobs.join(digest.hex()), manifest)?;
    let descriptor = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(
            digest
                .as_str()
                .parse::<oci_spec::image::Digest>()
                .map_err(other)?,
        )
        .size(manifest.len() as u64)
        .build()
        .map_err(other)?;
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .manifests(vec![descriptor])
        .build()
        .map_err(other)?;
    let version = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()
        .map_err(other)?;
    std::fs::write(
        directory.join("index.json"),
        index.to_string().map_err(other)?,
    )?;
    std::fs::write(
        directory.join("oci-layout"),
        version.to_string().map_err(other)?,
    )
}

async fn unpack(
    puller: Puller,
    platform: Platform,
    staging: Staging,
    reporter: Reporter,
) -> Result<Imported, PullError> {
    let abandoned = Abandoned::default();
    let flag = Arc::clone(&abandoned.0);
    blocking(move || {
        let mut on_progress = |progress: crate::progress::Progress| {
            reporter.unpacked(progress.read_bytes);
            match flag.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let importer = Importer::new(&puller.store)
            .with_limits(puller.limits)
            .with_platform(platform);
        let imported = importer.import_oci_layout(staging.path(), None, &mut on_progress)?;
        Ok(imported)
    })
    .await
}

/// Set when dropped: a future that goes away ends the work on its thread.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(PullError::Cancelled),
    }
}
