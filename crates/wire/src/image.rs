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
    /// Digests, lowest first.
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
