//! Importing an image from an OCI layout (opencontainers/image-spec, image-layout.md).
//!
//! `layout` reads files of the layout, `blob` verifies them, `select` chooses the manifest,
//! `config` translates the configuration. Every blob is read through its digest and size.

mod blob;
mod config;
mod layout;
mod select;

use std::collections::HashSet;
use std::path::Path;

use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use pinfold_model::{Digest, ImageSource};

use crate::codec::decompressed;
use crate::error::ImportError;
use crate::import::{Imported, Importer};
use crate::progress::{Meter, Metered};
use crate::unpack::{Kind, Report, digest_only};
use config::Configuration;
use layout::Layout;

pub(crate) use blob::BlobRef;
pub(crate) use select::{DescriptorKind, kind_of};

pub(crate) fn import(
    importer: &Importer<'_>,
    path: &Path,
    select: Option<&str>,
    meter: &mut Meter<'_>,
) -> Result<Imported, ImportError> {
    let lease = importer.store.lease()?;
    let layout = Layout::open(path, importer)?;
    let manifest = select::manifest(&layout, select, &importer.limits)?;
    let configuration = read_configuration(&layout, &manifest, importer)?;
    let blobs = layer_blobs(&manifest, &configuration, importer)?;

    meter.set_total(blobs.iter().map(|blob| blob.size).sum());
    meter.report().map_err(ImportError::read)?;
    let mut report = Report::default();
    for (blob, diff_id) in blobs.iter().zip(&configuration.diff_ids) {
        report.add(&import_layer(importer, &layout, blob, diff_id, meter)?);
    }
    let layers = without_repeats(&configuration.diff_ids);
    Ok(Imported {
        source: ImageSource::OciLayout,
        size_bytes: size_of(importer, &layers)?,
        layers,
        config: configuration.image,
        report,
        lease,
    })
}

fn read_configuration(
    layout: &Layout,
    manifest: &ImageManifest,
    importer: &Importer<'_>,
) -> Result<Configuration, ImportError> {
    let descriptor = manifest.config();
    let is_image = match descriptor.media_type() {
        MediaType::ImageConfig => true,
        other => other.as_ref() == "application/vnd.docker.container.image.v1+json",
    };
    if !is_image {
        return Err(ImportError::Unsupported {
            what: format!("an artifact of type {:?}", descriptor.media_type().as_ref()),
            hint: "only container images can be imported",
        });
    }
    let json = BlobRef::of(descriptor)?.read_document(layout, &importer.limits)?;
    config::parse(&json, importer.platform.architecture())
}

/// The manifest's layers, lowest first, matched with the configuration's diff ids.
fn layer_blobs(
    manifest: &ImageManifest,
    configuration: &Configuration,
    importer: &Importer<'_>,
) -> Result<Vec<BlobRef>, ImportError> {
    let layers = manifest.layers();
    if layers.len() > importer.limits.layers {
        return Err(ImportError::Limit {
            what: "layers",
            limit: importer.limits.layers as u64,
        });
    }
    if layers.is_empty() {
        return Err(ImportError::Empty);
    }
    if layers.len() != configuration.diff_ids.len() {
        return Err(ImportError::Layout {
            document: "the configuration".to_owned(),
            problem: format!(
                "it lists {} layers, the manifest {}",
                configuration.diff_ids.len(),
                layers.len()
            ),
        });
    }
    layers.iter().map(layer_blob).collect()
}

/// What a manifest's layer names, if layers of its type can be read.
pub(crate) fn layer_blob(descriptor: &Descriptor) -> Result<BlobRef, ImportError> {
    let known = match descriptor.media_type() {
        MediaType::ImageLayer
        | MediaType::ImageLayerGzip
        | MediaType::ImageLayerZstd
        | MediaType::ImageLayerNonDistributable
        | MediaType::ImageLayerNonDistributableGzip
        | MediaType::ImageLayerNonDistributableZstd => true,
        MediaType::Other(other) => matches!(
            other.as_str(),
            "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd"
                | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ),
        _ => false,
    };
    if known {
        return BlobRef::of(descriptor);
    }
    Err(ImportError::Unsupported {
        what: format!("a layer of type {:?}", descriptor.media_type().as_ref()),
        hint: "layers are tars: plain, gzip or zstd",
    })
}

/// Unpacks one layer unless the store has it. Its blob is read and verified either way: naming a
/// diff id must not be enough to get a layer that someone else imported.
fn import_layer(
    importer: &Importer<'_>,
    layout: &Layout,
    blob: &BlobRef,
    diff_id: &Digest,
    meter: &mut Meter<'_>,
) -> Result<Report, ImportError> {
    let present = importer.store.record(diff_id)?;
    let unpacked = blob.verified(layout, |reader| {
        let tar = decompressed(Metered::new(reader, &mut *meter))?;
        if present.is_some() {
            check_diff_id(diff_id, &digest_only(tar, &importer.limits)?)?;
            return Ok(None);
        }
        let layer = importer.unpack_layer(tar, Kind::Layer)?;
        check_diff_id(diff_id, &layer.record.diff_id)?;
        Ok(Some(layer))
    })?;
    meter.report().map_err(ImportError::read)?;
    match (unpacked, present) {
        (Some(layer), _) => Ok(importer.keep(layer)?.report),
        (None, present) => Ok(present.map(|record| record.report).unwrap_or_default()),
    }
}

fn check_diff_id(expected: &Digest, actual: &Digest) -> Result<(), ImportError> {
    if actual == expected {
        return Ok(());
    }
    Err(ImportError::DiffId {
        expected: expected.clone(),
        actual: actual.clone(),
    })
}

/// Overlayfs refuses the same directory twice. Of a repeated layer the highest suffices: all that
/// the lower one has, it has too.
fn without_repeats(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut seen = HashSet::new();
    let mut layers: Vec<Digest> = diff_ids
        .iter()
        .rev()
        .filter(|id| seen.insert(*id))
        .cloned()
        .collect();
    layers.reverse();
    layers
}

fn size_of(importer: &Importer<'_>, layers: &[Digest]) -> Result<u64, ImportError> {
    let mut total = 0;
    for layer in layers {
        total += importer.store.size(layer)?.unwrap_or(0);
    }
    Ok(total)
}
