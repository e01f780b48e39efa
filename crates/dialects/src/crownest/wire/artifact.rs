//! Artifacts.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct CreateArtifact {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Artifact {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) org_id: String,
    pub(in crate::crownest) project_id: String,
    pub(in crate::crownest) sandbox_id: String,
    pub(in crate::crownest) name: String,
    pub(in crate::crownest) object_key: String,
    pub(in crate::crownest) size_bytes: u64,
    /// What code has shown was in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) source_path: Option<String>,
    pub(in crate::crownest) content_type: String,
    pub(in crate::crownest) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) retention_expires_at: Option<String>,
}
