//! Previews.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CreatePreview {
    pub(in crate::crownest) port: i64,
    pub(in crate::crownest) auth_mode: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Preview {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) slug: String,
    pub(in crate::crownest) url: String,
    pub(in crate::crownest) org_id: String,
    pub(in crate::crownest) project_id: String,
    pub(in crate::crownest) sandbox_id: String,
    pub(in crate::crownest) port: u16,
    pub(in crate::crownest) auth_mode: &'static str,
    pub(in crate::crownest) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) revoked_at: Option<String>,
}

/// The token is shown once, by the call that made the preview.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CreatedPreview {
    pub(in crate::crownest) preview: Preview,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) preview_token: Option<String>,
}
