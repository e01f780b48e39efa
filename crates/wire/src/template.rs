//! Templates: named, versioned recipes for sandboxes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::{NetworkMode, NetworkPolicy};

/// A recipe. Putting another one under the same name makes a new version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutTemplate {
    /// `name` or `name:tag`.
    pub image: String,
    /// CPUs, in steps of 0.001: 0.05 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Given without `network`, it means the mode `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// Offer it to every project of the org instead of the key's own; needs an admin key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
}

/// One version of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Template {
    pub id: String,
    pub version_id: String,
    /// `null`: offered to every project.
    pub project_id: Option<String>,
    pub name: String,
    pub version: u32,
    pub image: String,
    pub vcpu: f64,
    pub memory_mib: u32,
    pub disk_mib: u32,
    pub pids: u32,
    pub network: NetworkMode,
    /// Of the mode `policy`.
    #[serde(default)]
    pub network_policy: Option<NetworkPolicy>,
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub ttl_ms: Option<u64>,
    pub idle_timeout_ms: Option<u64>,
    pub created_at: String,
}

/// Which version of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct TemplateQuery {
    /// The latest when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}
