//! Images: what sandboxes boot from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::word::words;

words! {
    /// Where an image came from.
    ImageSource {
        /// A read-only view of the server's own /usr.
        Host = "host",
        /// A tar of a root filesystem.
        Tar = "tar",
        /// An OCI layout.
        OciLayout = "oci_layout",
        /// A registry.
        Registry = "registry",
        /// The disk of a sandbox, as it was at one moment.
        Snapshot = "snapshot",
        /// A Dockerfile.
        Build = "build",
    }
}

words! {
    /// How far a pull is.
    PullState {
        /// Waiting for its turn, or asking the registry what the reference means.
        Resolving = "resolving",
        Downloading = "downloading",
        /// Checking and unpacking what was downloaded.
        Unpacking = "unpacking",
        /// `image` is there.
        Done = "done",
        /// `error` says why.
        Failed = "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    pub id: String,
    /// `null`: shared by every project.
    pub project_id: Option<String>,
    pub names: Vec<String>,
    pub source: ImageSource,
    /// What was pulled, in full, where the source is a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The digest of the manifest that was pulled, where the source is a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Whose disk it is, where the source is a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// The build that made it, where the source is a Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The image that this sandbox was made from, where the source is a snapshot; the one that the
    /// last stage was built on, where it is a Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_id: Option<String>,
    /// Digests, lowest first; of a snapshot, those of the image below its disk.
    pub layers: Vec<String>,
    pub config: ImageConfig,
    /// Unpacked size of all layers.
    pub size_bytes: u64,
    pub created_at: String,
}

/// What the image says about how it wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageConfig {
    pub env: BTreeMap<String, String>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// `NUMBER/PROTOCOL` or `FIRST-LAST/PROTOCOL`.
    #[serde(default)]
    pub exposed_ports: Vec<String>,
}

/// How to keep a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TakeSnapshot {
    /// `name` or `name:tag`, taken from the image that has it; by its id only when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Added to those of the image below; bounded as metadata of sandboxes is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What to take of an uploaded tar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct PutImageQuery {
    /// Which image of an OCI layout that holds several: its reference name or digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListImages {
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What to pull. Credentials are used for this pull and kept nowhere.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PullImage {
    /// As a registry knows it: `python:3.12`, `user/name`, `host:port/name@sha256:...`.
    pub reference: String,
    /// What to call the image here; as the reference says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `linux/ARCHITECTURE` or `linux/ARCHITECTURE/VARIANT`; the server's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// With `password`: shown to the registry where it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(write_only))]
    pub password: Option<String>,
    /// Instead of `username` and `password`: a token that the registry itself takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(write_only))]
    pub token: Option<String>,
    /// Speak plain HTTP to a registry on another machine; needs an admin key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// For every project, not the caller's own alone; needs an admin key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl std::fmt::Debug for PullImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullImage")
            .field("reference", &self.reference)
            .field("name", &self.name)
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// A pull at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagePull {
    pub id: String,
    /// In full, as the registry is asked.
    pub reference: String,
    /// What the image is or will be called here.
    pub name: String,
    pub state: PullState,
    /// Lowest first; empty until they are known.
    pub layers: Vec<LayerProgress>,
    /// Compressed bytes that are unpacked by now.
    pub unpacked_bytes: u64,
    /// When it is done.
    pub image: Option<Image>,
    /// When it failed.
    pub error: Option<PullFailure>,
}

/// One layer's download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LayerProgress {
    /// Of the compressed layer.
    pub digest: String,
    pub downloaded_bytes: u64,
    pub total_bytes: u64,
}

/// Why a pull failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullFailure {
    /// An error code, as in error answers.
    pub code: String,
    pub message: String,
}

/// How long to stay with a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct PullQuery {
    /// Waits for the end of the pull at most this many milliseconds: 0 when absent, at most 60000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(maximum = 60000))]
    pub timeout_ms: Option<u64>,
}
