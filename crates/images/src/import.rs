//! Importing: what every kind of source has in common.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use pinfold_model::{Digest, ImageConfig, ImageSource};

use crate::detect::{Source, detect};
use crate::error::ImportError;
use crate::limits::Limits;
use crate::oci;
use crate::progress::{Meter, OnProgress, Progress};
use crate::registry::Platform;
use crate::rootfs;
use crate::store::{LayerRecord, LayerStore, Lease, Staging};
use crate::unpack::{Kind, Ownership, Report, unpack};

/// An image whose layers are in the store and whose record is the caller's to write.
#[derive(Debug)]
pub struct Imported {
    pub source: ImageSource,
    /// Lowest first, none twice.
    pub layers: Vec<Digest>,
    pub config: ImageConfig,
    /// Sum of the sizes of all files of all layers.
    pub size_bytes: u64,
    /// What was made and left out, over all layers.
    pub report: Report,
    /// Keeps the layers until the image is recorded; drop it then.
    pub lease: Lease,
}

/// Imports into one store, within bounds.
#[derive(Debug, Clone)]
pub struct Importer<'s> {
    pub(crate) store: &'s LayerStore,
    pub(crate) limits: Limits,
    pub(crate) ownership: Ownership,
    pub(crate) platform: Platform,
}

impl<'s> Importer<'s> {
    /// Default limits, this machine's platform; the archive's owners as root, else the importer's.
    #[must_use]
    pub fn new(store: &'s LayerStore) -> Self {
        Self {
            store,
            limits: Limits::default(),
            ownership: Ownership::of_this_process(),
            platform: Platform::default(),
        }
    }

    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    #[must_use]
    pub fn with_ownership(mut self, ownership: Ownership) -> Self {
        self.ownership = ownership;
        self
    }

    /// What the image has to be for, instead of this machine.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Imports whatever is at `path`: a tar of a root filesystem, or an OCI layout as a directory
    /// or a tar. `select` names an image of a layout that holds several.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing is left in the store but whole layers that no image uses yet.
    pub fn import(
        &self,
        path: &Path,
        select: Option<&str>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Imported, ImportError> {
        match detect(path)? {
            Source::OciLayout => self.import_oci_layout(path, select, on_progress),
            Source::RootfsTar => {
                let file = File::open(path).map_err(ImportError::Read)?;
                let length = file.metadata().ok().map(|meta| meta.len());
                self.import_rootfs_tar(file, length, on_progress)
            }
        }
    }

    /// Imports a root filesystem from a tar: plain, gzip or zstd. `length` is the source's size in
    /// bytes where known, for progress only.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing is left in the store.
    pub fn import_rootfs_tar(
        &self,
        source: impl Read,
        length: Option<u64>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Imported, ImportError> {
        let mut forward = |progress: Progress| -> ControlFlow<()> { on_progress(progress) };
        let mut meter = Meter::new(length, &mut forward);
        rootfs::import(self, source, &mut meter)
    }

    /// Imports one image of an OCI layout, for Linux and this machine's architecture. `path` is
    /// the layout's directory or a tar of it; `select` is a reference name in its index.
    ///
    /// # Errors
    /// See [`ImportError`]; nothing is left in the store but whole layers that no image uses yet.
    pub fn import_oci_layout(
        &self,
        path: &Path,
        select: Option<&str>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Imported, ImportError> {
        let mut forward = |progress: Progress| -> ControlFlow<()> { on_progress(progress) };
        let mut meter = Meter::new(None, &mut forward);
        oci::import(self, path, select, &mut meter)
    }

    /// Imports an image that holds nothing at all.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn import_nothing(&self) -> Result<Imported, ImportError> {
        let lease = self.store.lease()?;
        let mut root = tar::Header::new_gnu();
        root.set_entry_type(tar::EntryType::Directory);
        root.set_mode(0o755);
        root.set_mtime(0);
        root.set_size(0);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut root, "./", std::io::empty())
            .map_err(ImportError::Read)?;
        let tar = tar.into_inner().map_err(ImportError::Read)?;
        let record = self.keep(self.unpack_layer(tar.as_slice(), Kind::Layer)?)?;
        Ok(Imported {
            source: ImageSource::Tar,
            layers: vec![record.diff_id],
            config: ImageConfig::default(),
            size_bytes: 0,
            report: record.report,
            lease,
        })
    }

    /// Unpacks one uncompressed tar. It becomes a layer only when the caller, having checked what
    /// else there is to check, keeps it.
    pub(crate) fn unpack_layer(
        &self,
        tar: impl Read,
        kind: Kind,
    ) -> Result<UnpackedLayer, ImportError> {
        let staging = Staging::new(self.store)?;
        let root = staging.make_tree()?;
        let (diff_id, report) = unpack(tar, root, kind, self.ownership, &self.limits)?;
        Ok(UnpackedLayer {
            staging,
            record: LayerRecord { diff_id, report },
        })
    }

    pub(crate) fn keep(&self, layer: UnpackedLayer) -> Result<LayerRecord, ImportError> {
        if self.store.path(&layer.record.diff_id).is_none() {
            layer.staging.commit_layer(self.store, &layer.record)?;
        }
        Ok(layer.record)
    }
}

/// A whole tree that is not in the store yet, and vanishes unless it is kept.
pub(crate) struct UnpackedLayer {
    staging: Staging,
    pub(crate) record: LayerRecord,
}
