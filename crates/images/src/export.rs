//! Writing an image as an OCI layout in a tar (opencontainers/image-spec, image-layout.md).
//!
//! ```text
//! oci-layout, index.json, blobs/sha256/HEX of the manifest, of the configuration, of each layer
//! ```
//! Layers are plain tars: a name in a layout is the digest of what it names and stands before it, so
//! each tree is read twice, and nothing is kept on the way. Whoever wants it smaller compresses the
//! whole. `layer` writes one tree.

mod layer;

use std::collections::HashMap;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::image::{
    Config, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder,
    SCHEMA_VERSION, Sha256Digest,
};
use pinfold_model::{Code, Digest, Error, ImageConfig, Time};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::registry::Platform;
use crate::unpack::digest_of;

/// OCI's annotation for what an image of a layout is called.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
const BLOCK_BYTES: u64 = 512;
/// Two blocks of zeros end a tar.
const END_BYTES: u64 = 2 * BLOCK_BYTES;

/// What to write.
#[derive(Debug, Clone)]
pub struct Export {
    /// Lowest first.
    pub layers: Vec<LayerTree>,
    pub config: ImageConfig,
    pub names: Vec<String>,
    pub platform: Platform,
    pub created_at: Time,
}

/// A directory with what one layer holds, in overlayfs's form. It must not change meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTree {
    pub path: PathBuf,
    /// Paths in it that are not part of the layer.
    pub without: Vec<String>,
}

/// An export that did not come to its end. What was written is no layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("{path} in the image: {problem}")]
    Unspeakable { path: String, problem: &'static str },
    #[error("the image has more {what} than the limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("{path} in the image cannot be read")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("a layer changed while it was read")]
    Changed,
    #[error("a document of the layout cannot be made")]
    Document(#[from] OciSpecError),
    #[error("the layout cannot be written")]
    Write(#[from] io::Error),
}

/// An image that has been read once: its layout, but for what the layers hold.
#[derive(Debug)]
pub struct OciLayoutTar {
    files: Vec<(String, Content)>,
    mtime: u64,
}

#[derive(Debug)]
enum Content {
    Directory,
    Document(String),
    Layer(LayerTree, Blob),
}

impl From<ExportError> for Error {
    fn from(error: ExportError) -> Self {
        match &error {
            ExportError::Unspeakable { .. } | ExportError::Limit { .. } => {
                Self::new(Code::Unsupported, error.to_string())
            }
            ExportError::Read { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::new(Code::Unsupported, error.to_string())
            }
            ExportError::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                Self::internal(error)
            }
            // Layers of an image that was removed meanwhile go.
            ExportError::Read { .. } | ExportError::Changed => {
                Self::new(Code::ImageNotFound, "the image was removed meanwhile").because(error)
            }
            ExportError::Document(_) | ExportError::Write(_) => Self::internal(error),
        }
    }
}

/// What the manifest calls a layer by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    digest: Digest,
    bytes: u64,
}

impl Export {
    /// Reads every layer once, to know what it is called; blocks.
    ///
    /// # Errors
    /// What no layer can say, such as a file called `.wh.x`; failures to read.
    pub fn prepare(self) -> Result<OciLayoutTar, ExportError> {
        let blobs = self.layers.iter().map(|tree| layer_blob(tree, io::sink()));
        let blobs: Vec<Blob> = blobs.collect::<Result<_, _>>()?;
        let layers = blobs
            .iter()
            .map(|blob| blob.descriptor(MediaType::ImageLayer));
        let layers: Vec<Descriptor> = layers.collect::<Result<_, _>>()?;
        let configuration = self.configuration(&blobs)?;
        let config = Blob::of(&configuration);
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor(MediaType::ImageConfig)?)
            .layers(layers)
            .build()?
            .to_string()?;
        let described = Blob::of(&manifest);
        let version = OciLayoutBuilder::default()
            .image_layout_version("1.0.0")
            .build()?;
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                Content::Document(version.to_string()?),
            ),
            (
                "index.json".to_owned(),
                Content::Document(self.index(&described.descriptor(MediaType::ImageManifest)?)?),
            ),
            ("blobs/".to_owned(), Content::Directory),
            ("blobs/sha256/".to_owned(), Content::Directory),
            (described.name(), Content::Document(manifest)),
            (config.name(), Content::Document(configuration)),
        ];
        for (tree, blob) in self.layers.into_iter().zip(blobs) {
            let name = blob.name();
            // Two layers may hold the same.
            if !files.iter().any(|(other, _)| *other == name) {
                files.push((name, Content::Layer(tree, blob)));
            }
        }
        Ok(OciLayoutTar {
            files,
            mtime: u64::try_from(self.created_at.as_second()).unwrap_or(0),
        })
    }

    fn configuration(&self, layers: &[Blob]) -> Result<String, ExportError> {
        // A plain tar is named by its digest in the manifest as in here.
        let diff_ids: Vec<String> = layers.iter().map(|it| it.digest.to_string()).collect();
        let rootfs = RootFsBuilder::default()
            .typ("layers")
            .diff_ids(diff_ids)
            .build()?;
        let configuration = ImageConfigurationBuilder::default()
            .created(self.created_at.to_string())
            .architecture(self.platform.architecture().clone())
            .os(Os::Linux)
            .config(config(&self.config)?)
            .rootfs(rootfs)
            .build()?;
        Ok(configuration.to_string()?)
    }

    /// One entry for each name, or one without.
    fn index(&self, manifest: &Descriptor) -> Result<String, ExportError> {
        let named = self.names.iter().map(|name| {
            let mut named = manifest.clone();
            named.set_annotations(Some([(REFERENCE.to_owned(), name.clone())].into()));
            named
        });
        let mut manifests: Vec<Descriptor> = named.collect();
        if manifests.is_empty() {
            manifests.push(manifest.clone());
        }
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(manifests)
            .build()?;
        Ok(index.to_string()?)
    }
}

impl OciLayoutTar {
    /// How many bytes [`Self::write`] writes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let of =
            |content: &Content| BLOCK_BYTES + content.size_bytes().next_multiple_of(BLOCK_BYTES);
        self.files
            .iter()
            .map(|(_, content)| of(content))
            .sum::<u64>()
            + END_BYTES
    }

    /// Writes it in pieces as they come; blocks.
    ///
    /// # Errors
    /// A layer that is no longer what it was; failures to read or to write.
    pub fn write(&self, mut to: impl Write) -> Result<(), ExportError> {
        for (name, content) in &self.files {
            let bytes = content.size_bytes();
            to.write_all(self.header(name, content)?.as_bytes())?;
            match content {
                Content::Directory => {}
                Content::Document(json) => to.write_all(json.as_bytes())?,
                Content::Layer(tree, told) => {
                    if layer_blob(tree, &mut to)? != *told {
                        return Err(ExportError::Changed);
                    }
                }
            }
            zeros(&mut to, bytes.next_multiple_of(BLOCK_BYTES) - bytes)?;
        }
        zeros(&mut to, END_BYTES)?;
        Ok(to.flush()?)
    }

    fn header(&self, name: &str, content: &Content) -> io::Result<Header> {
        let (kind, mode) = match content {
            Content::Directory => (EntryType::Directory, 0o755),
            Content::Document(_) | Content::Layer(..) => (EntryType::Regular, 0o644),
        };
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.mtime);
        header.set_size(content.size_bytes());
        header.set_cksum();
        Ok(header)
    }
}

impl Content {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Directory => 0,
            Self::Document(json) => json.len() as u64,
            Self::Layer(_, blob) => blob.bytes,
        }
    }
}

fn zeros(mut to: impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(count), &mut to).map(drop)
}

fn config(image: &ImageConfig) -> Result<Config, ExportError> {
    let env: Vec<String> = image
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut config = ConfigBuilder::default()
        .env(env)
        .entrypoint(image.entrypoint.clone())
        .cmd(image.cmd.clone())
        .exposed_ports(image.exposed_ports.clone())
        .labels(image.labels.clone().into_iter().collect::<HashMap<_, _>>())
        .build()?;
    config.set_user(image.user.clone());
    config.set_working_dir(image.workdir.clone());
    Ok(config)
}

fn layer_blob(tree: &LayerTree, to: impl Write) -> Result<Blob, ExportError> {
    let mut counted = Counted {
        to,
        sha: Sha256::new(),
        bytes: 0,
    };
    layer::write(tree, &mut counted)?;
    Ok(Blob {
        digest: Digest::from_sha256(counted.sha.finalize().into()),
        bytes: counted.bytes,
    })
}

impl Blob {
    fn of(document: &str) -> Self {
        Self {
            digest: digest_of(document.as_bytes()),
            bytes: document.len() as u64,
        }
    }

    fn name(&self) -> String {
        format!("blobs/sha256/{}", self.digest.hex())
    }

    fn descriptor(&self, kind: MediaType) -> Result<Descriptor, ExportError> {
        let digest: Sha256Digest = self.digest.hex().parse()?;
        Ok(DescriptorBuilder::default()
            .media_type(kind)
            .digest(digest)
            .size(self.bytes)
            .build()?)
    }
}

/// Hashes and counts bytes as they pass.
struct Counted<W> {
    to: W,
    sha: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
