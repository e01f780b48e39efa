//! Images leave as OCI layouts.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pinfold_images::{Export, LayerTree, OciLayoutTar, Platform};
use pinfold_model::{Code, Ctx, Error, Image, ImageSource, Level, ProjectId, Result};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::check_snapshot;
use crate::Engine;
use crate::errors::driver_error;
use crate::turns::{Turn, Turns};
use crate::usecase::Note;

/// Exports under way at a time; more wait. Each has a thread.
const RUNNING_MAX: usize = 16;
const RUNNING_OF_PROJECT_MAX: usize = 2;
/// What is read ahead of the reader.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;
/// A reader that takes no piece for so long has gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// The exports of an engine.
pub(crate) struct Exports(Arc<Turns<ProjectId>>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Turns::new(RUNNING_MAX, RUNNING_OF_PROJECT_MAX)))
    }
}

/// An OCI layout in a tar, as it is written. Dropping it ends the export.
#[derive(Debug)]
pub struct ImageExport {
    pub image: Image,
    pub size_bytes: u64,
    pieces: mpsc::Receiver<Result<Bytes>>,
}

impl ImageExport {
    /// `None` at the end.
    ///
    /// # Errors
    /// The image was removed meanwhile, or cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.pieces.recv().await.transpose()
    }
}

impl Engine {
    /// Writes an image as an OCI layout in a tar, which every runtime of containers can load. An
    /// image over `host` has no content of its own to give, and is refused.
    pub async fn export_image(&self, ctx: &Ctx, name_or_id: &str) -> Result<ImageExport> {
        let note = Note::new("image.export");
        note.fact("image", name_or_id);
        self.audited(ctx, &note, async {
            let image = self.image(ctx, name_or_id).await?;
            note.about(image.id.as_str());
            check_snapshot(ctx, &image, Level::Read)?;
            let export = self.export_of(&image).await?;
            let turn = self
                .inner
                .exports
                .0
                .take(ctx.principal.project.clone())
                .await;
            let prepare = move || (export.prepare(), turn);
            let prepared = tokio::task::spawn_blocking(prepare).await;
            let (layout, turn) = prepared.map_err(Error::internal)?;
            let layout = layout?;
            Ok(ImageExport {
                image,
                size_bytes: layout.size_bytes(),
                pieces: written(layout, turn),
            })
        })
        .await
    }

    async fn export_of(&self, image: &Image) -> Result<Export> {
        if image.source.is_on_host() {
            return Err(Error::new(
                Code::InvalidArgument,
                "the image stands on \"host\", this machine's own system, which is not exported; \
                 build it from an image that was imported or pulled",
            ));
        }
        let shared = self.shared();
        let mut layers = Vec::with_capacity(image.layers.len() + 1);
        for digest in &image.layers {
            let path = shared.layers.path(digest);
            layers.push(LayerTree {
                path: path.ok_or_else(|| Error::internal(format!("no layer {digest}")))?,
                without: Vec::new(),
            });
        }
        if let Some(disk) = image.disk() {
            let tree = shared.driver.snapshot_tree(disk).await;
            let tree = tree.map_err(driver_error)?;
            layers.push(LayerTree {
                path: tree.path,
                without: tree.own,
            });
        }
        let platform = match &image.source {
            ImageSource::Registry {
                platform: Some(platform),
                ..
            } => platform.parse()?,
            _ => Platform::default(),
        };
        Ok(Export {
            layers,
            config: image.config.clone(),
            names: image.names.iter().map(ToString::to_string).collect(),
            platform,
            created_at: image.created_at,
        })
    }
}

fn written(layout: OciLayoutTar, turn: Turn) -> mpsc::Receiver<Result<Bytes>> {
    let (pieces, received) = mpsc::channel(PIECES_AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let sink = Pieces {
            pieces: &pieces,
            runtime: &runtime,
        };
        let buffered = io::BufWriter::with_capacity(PIECE_BYTES, sink);
        if let Err(error) = layout.write(buffered) {
            tracing::warn!(error = crate::errors::chain(&error), "an export broke off");
            // Whoever reads has perhaps gone, which was the error then.
            let _ = pieces.try_send(Err(error.into()));
        }
    });
    received
}

/// Hands on what is written to it.
struct Pieces<'p> {
    pieces: &'p mpsc::Sender<Result<Bytes>>,
    runtime: &'p Handle,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        let sent = self.pieces.send_timeout(piece, PATIENCE);
        let sent = self.runtime.block_on(sent);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
