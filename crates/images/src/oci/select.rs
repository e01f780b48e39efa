//! Choosing one image manifest of a layout's indexes (opencontainers/image-spec, image-index.md).

use std::collections::BTreeSet;

use oci_spec::image::{ANNOTATION_REF_NAME, Arch, Descriptor, ImageIndex, ImageManifest, Os};

use super::blob::BlobRef;
use super::layout::Layout;
use crate::error::ImportError;
use crate::limits::Limits;

/// Indexes within indexes that are followed.
const NESTING_MAX: usize = 4;
/// containerd's and docker's place for the full name.
const ANNOTATION_CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Names listed in an error.
const NAMES_SHOWN_MAX: usize = 20;

/// The manifest of the image called `wanted`, or of the only image, for Linux and this machine's
/// architecture.
pub(super) fn manifest(
    layout: &Layout,
    wanted: Option<&str>,
    limits: &Limits,
) -> Result<ImageManifest, ImportError> {
    let index = parse_index("index.json", &layout.read("index.json", limits)?)?;
    let named: Vec<&Descriptor> = index
        .manifests()
        .iter()
        .filter(|descriptor| wanted.is_none_or(|wanted| is_called(descriptor, wanted)))
        .collect();
    if named.is_empty() {
        return Err(ImportError::NoSuchImage {
            wanted: wanted.map_or("at all".to_owned(), |name| format!("called {name:?}")),
            present: names(index.manifests()),
        });
    }
    let mut search = Search {
        layout,
        limits,
        looked_at: 0,
        platforms: BTreeSet::new(),
    };
    let mut found: Vec<Descriptor> = Vec::new();
    for descriptor in &named {
        if let Some(manifest) = search.first_fitting(descriptor, 0)?
            && !found.iter().any(|f| f.digest() == manifest.digest())
        {
            found.push(manifest);
        }
    }
    match found.as_slice() {
        [] => Err(search.nothing_fits()),
        [one] => parse_manifest(&BlobRef::of(one)?.read_document(layout, limits)?),
        _ => Err(ImportError::Ambiguous {
            present: names(index.manifests()),
        }),
    }
}

struct Search<'l> {
    layout: &'l Layout,
    limits: &'l Limits,
    looked_at: usize,
    /// What was passed over, for the error.
    platforms: BTreeSet<String>,
}

impl Search<'_> {
    /// `descriptor` itself, or the first manifest below it, that is for this machine.
    fn first_fitting(
        &mut self,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<Option<Descriptor>, ImportError> {
        self.looked_at += 1;
        if self.looked_at > self.limits.descriptors {
            return Err(ImportError::Limit {
                what: "descriptors",
                limit: self.limits.descriptors as u64,
            });
        }
        match kind_of(descriptor.media_type().as_ref()) {
            DescriptorKind::Manifest if self.fits(descriptor) => Ok(Some(descriptor.clone())),
            DescriptorKind::Manifest | DescriptorKind::Other => Ok(None),
            DescriptorKind::Index if depth == NESTING_MAX => Err(ImportError::Limit {
                what: "nested indexes",
                limit: NESTING_MAX as u64,
            }),
            DescriptorKind::Index => {
                let blob = BlobRef::of(descriptor)?;
                let json = blob.read_document(self.layout, self.limits)?;
                let index = parse_index(blob.digest.as_str(), &json)?;
                for below in index.manifests() {
                    if let Some(found) = self.first_fitting(below, depth + 1)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    /// A manifest that names no platform may fit; its configuration will tell.
    fn fits(&mut self, descriptor: &Descriptor) -> bool {
        let Some(platform) = descriptor.platform() else {
            return true;
        };
        let fits = *platform.os() == Os::Linux && *platform.architecture() == Arch::default();
        if !fits && self.platforms.len() < NAMES_SHOWN_MAX {
            let name = format!("{}/{}", platform.os(), platform.architecture());
            self.platforms.insert(name.chars().take(100).collect());
        }
        fits
    }

    fn nothing_fits(self) -> ImportError {
        let platforms: Vec<String> = self.platforms.into_iter().collect();
        ImportError::NoSuchImage {
            wanted: format!("for linux/{}", Arch::default()),
            present: match platforms.is_empty() {
                true => "no container image".to_owned(),
                false => platforms.join(", "),
            },
        }
    }
}

/// What a descriptor points at.
pub(crate) enum DescriptorKind {
    Manifest,
    Index,
    Other,
}

/// By media type: OCI's and docker's.
pub(crate) fn kind_of(media_type: &str) -> DescriptorKind {
    match media_type {
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => DescriptorKind::Manifest,
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => DescriptorKind::Index,
        _ => DescriptorKind::Other,
    }
}

fn annotations(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    [ANNOTATION_REF_NAME, ANNOTATION_CONTAINERD_NAME]
        .into_iter()
        .filter_map(|key| descriptor.annotations().as_ref()?.get(key))
        .map(String::as_str)
}

fn is_called(descriptor: &Descriptor, wanted: &str) -> bool {
    annotations(descriptor).any(|name| name == wanted)
}

fn names(descriptors: &[Descriptor]) -> String {
    let names: BTreeSet<String> = descriptors
        .iter()
        .flat_map(annotations)
        .map(|name| format!("{:?}", name.chars().take(100).collect::<String>()))
        .take(NAMES_SHOWN_MAX)
        .collect();
    match names.is_empty() {
        true => "no named image".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn parse_index(document: &str, json: &[u8]) -> Result<ImageIndex, ImportError> {
    serde_json::from_slice(json).map_err(|error| ImportError::Layout {
        document: document.to_owned(),
        problem: error.to_string(),
    })
}

fn parse_manifest(json: &[u8]) -> Result<ImageManifest, ImportError> {
    serde_json::from_slice(json).map_err(|error| ImportError::Layout {
        document: "the manifest".to_owned(),
        problem: error.to_string(),
    })
}
