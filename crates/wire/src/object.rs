//! Objects and signed URLs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::word::words;

words! {
    ObjectState {
        /// Waits for its content, or to be completed.
        Uploading = "uploading",
        /// Complete and immutable.
        Sealed = "sealed",
        /// Only its facts are left.
        Deleted = "deleted",
    }
}

/// A new object: of a file (`sandbox_id` and `path`), sealed at once; else one that waits for its
/// content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CreateObject {
    /// 1 to 512 characters; the file's own name when a file is copied and this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the name's ending tells when absent, else `application/octet-stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Deleted by itself after this time from now, at most 10 years; kept when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The sandbox whose file is copied, as its bytes are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// Absolute, or relative to the sandbox's working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What to make of an uploaded body. Further parameters `metadata.KEY=VALUE` are its metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct UploadObjectQuery {
    /// 1 to 512 characters.
    pub name: String,
    /// What the name's ending tells when absent, else `application/octet-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Deleted by itself after this time from now, at most 10 years; kept when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// Not a parameter by itself: sent as `metadata.KEY=VALUE`.
    #[serde(skip)]
    #[cfg_attr(feature = "openapi", param(ignore))]
    pub metadata: BTreeMap<String, String>,
}

/// A named blob that outlives the sandbox it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Object {
    pub id: String,
    pub project_id: String,
    /// Not unique.
    pub name: String,
    pub content_type: String,
    pub metadata: BTreeMap<String, String>,
    pub state: ObjectState,
    /// Of the content; `null` before the upload.
    pub size_bytes: Option<u64>,
    /// `sha256:` and 64 hex digits; `null` before the upload.
    pub digest: Option<String>,
    /// The sandbox that it was copied out of.
    pub sandbox_id: Option<String>,
    /// The copied file's absolute path; `null` for what code there has shown.
    pub path: Option<String>,
    pub created_at: String,
    pub sealed_at: Option<String>,
    pub deleted_at: Option<String>,
    /// When it is deleted by itself.
    pub expires_at: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListObjects {
    /// Only this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub state: Option<ObjectState>,
    /// Also deleted ones; they are left out otherwise. Not together with `state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_deleted: Option<bool>,
    /// Exactly this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Copied from a file of this sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

words! {
    /// What a signed URL is for.
    LinkUse {
        /// `GET` and `HEAD`, any number of times.
        Download = "download",
        /// `PUT`, while the object is being uploaded.
        Upload = "upload",
    }
}

/// A signed URL for an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SignObject {
    /// `download` when absent.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub link_use: Option<LinkUse>,
    /// From now: a second to 7 days, an hour when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// A signed URL for downloading a file of a sandbox, as it is at the time of the download.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignFile {
    /// Absolute, or relative to the sandbox's working directory.
    pub path: String,
    /// From now: a second to 7 days, an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// A URL that needs no key. Whoever has it may use it until its time is over, or the key that made
/// it is revoked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedUrl {
    pub url: String,
    /// The HTTP method to use it with: `GET` or `PUT`.
    pub method: String,
    pub expires_at: String,
}

/// The URL is a secret, so it is not shown here.
impl std::fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedUrl")
            .field("method", &self.method)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
