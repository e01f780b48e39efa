//! Sandboxes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CreateSandbox {
    pub(in crate::crownest) template: Option<String>,
    pub(in crate::crownest) template_version_id: Option<String>,
    pub(in crate::crownest) ttl_ms: Option<i64>,
    /// Values of any kind, so that a wrong one gets its own error.
    pub(in crate::crownest) metadata: Option<Map<String, Value>>,
    pub(in crate::crownest) project_id: Option<String>,
    pub(in crate::crownest) restore_from: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct ExtendSandbox {
    pub(in crate::crownest) ttl_ms: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct ListSandboxes {
    pub(in crate::crownest) limit: Option<i64>,
    pub(in crate::crownest) cursor: Option<String>,
    pub(in crate::crownest) project_id: Option<String>,
    pub(in crate::crownest) include: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Sandbox {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) org_id: String,
    pub(in crate::crownest) project_id: String,
    pub(in crate::crownest) status: &'static str,
    pub(in crate::crownest) template_id: String,
    pub(in crate::crownest) template_slug: String,
    pub(in crate::crownest) template_version: String,
    pub(in crate::crownest) template_version_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) expires_at: Option<String>,
    pub(in crate::crownest) metadata: BTreeMap<String, String>,
    pub(in crate::crownest) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) destroyed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) destroyed_reason: Option<&'static str>,
}
