//! OCI layouts made for tests with the types of `oci-spec`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Config, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder,
    RootFsBuilder,
};
use pinfold_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::archive::{gzip, zstd};

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// A layout under construction in a directory.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: PathBuf) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("layout");
        let version = OciLayoutBuilder::default()
            .image_layout_version("1.0.0")
            .build()
            .expect("complete");
        let json = version.to_string().expect("json");
        fs::write(dir.join("oci-layout"), json).expect("oci-layout");
        Self { dir }
    }

    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    pub(crate) fn blob(&self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        let digest = digest(bytes);
        fs::write(self.blob_path(digest.as_str()), bytes).expect("blob");
        DescriptorBuilder::default()
            .media_type(media_type)
            .digest(
                digest
                    .as_str()
                    .parse::<oci_spec::image::Digest>()
                    .expect("digest"),
            )
            .size(bytes.len() as u64)
            .build()
            .expect("complete")
    }

    /// An image of uncompressed tars; their blobs are gzip, zstd and plain in turn.
    pub(crate) fn image(&self, config: Config, tars: &[Vec<u8>]) -> Descriptor {
        let layers: Vec<Descriptor> = tars
            .iter()
            .zip([0, 1, 2].iter().cycle())
            .map(|(tar, form)| match form {
                0 => self.blob(MediaType::ImageLayerGzip, &gzip(tar)),
                1 => self.blob(MediaType::ImageLayerZstd, &zstd(tar)),
                _ => self.blob(MediaType::ImageLayer, tar),
            })
            .collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| digest(tar).to_string()).collect();
        self.manifest(config, Arch::default(), diff_ids, layers)
    }

    pub(crate) fn manifest(
        &self,
        config: Config,
        architecture: Arch,
        diff_ids: Vec<String>,
        layers: Vec<Descriptor>,
    ) -> Descriptor {
        let rootfs = RootFsBuilder::default()
            .typ("layers")
            .diff_ids(diff_ids)
            .build()
            .expect("complete");
        let configuration = ImageConfigurationBuilder::default()
            .architecture(architecture)
            .os(Os::Linux)
            .config(config)
            .rootfs(rootfs)
            .build()
            .expect("complete");
        let json = configuration.to_string().expect("json");
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .config(self.blob(MediaType::ImageConfig, json.as_bytes()))
            .layers(layers)
            .build()
            .expect("complete");
        let json = manifest.to_string().expect("json");
        self.blob(MediaType::ImageManifest, json.as_bytes())
    }

    pub(crate) fn index(&self, manifests: Vec<Descriptor>) -> Descriptor {
        self.blob(MediaType::ImageIndex, index_json(manifests).as_bytes())
    }

    /// Writes `index.json`, which makes the layout whole.
    pub(crate) fn finish(&self, manifests: Vec<Descriptor>) -> &Path {
        fs::write(self.dir.join("index.json"), index_json(manifests)).expect("index.json");
        &self.dir
    }

    /// The layout as a tar.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir_all(".", &self.dir).expect("tar");
        builder.into_inner().expect("tar")
    }
}

pub(crate) fn named(mut descriptor: Descriptor, name: &str) -> Descriptor {
    let annotations = HashMap::from([(ANNOTATION_REF_NAME.to_owned(), name.to_owned())]);
    descriptor.set_annotations(Some(annotations));
    descriptor
}

pub(crate) fn for_platform(mut descriptor: Descriptor, os: Os, architecture: Arch) -> Descriptor {
    let platform = PlatformBuilder::default()
        .os(os)
        .architecture(architecture)
        .build()
        .expect("complete");
    descriptor.set_platform(Some(platform));
    descriptor
}

fn index_json(manifests: Vec<Descriptor>) -> String {
    ImageIndexBuilder::default()
        .schema_version(2u32)
        .manifests(manifests)
        .build()
        .expect("complete")
        .to_string()
        .expect("json")
}
