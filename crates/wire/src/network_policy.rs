//! Network policies with a name.

use serde::{Deserialize, Serialize};

/// Rules that sandboxes follow. What no rule allows is denied, and a rule that denies wins; how rules
/// are written stands at `NetworkPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateNetworkPolicy {
    /// A label of 1 to 100 printable characters; need not be unique.
    pub name: String,
    /// At most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// At most 256.
    #[serde(default)]
    pub allow: Vec<String>,
    /// At most 256.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// What to change; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UpdateNetworkPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An empty one takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In place of all that allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// In place of all that deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
}

/// A network policy of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamedNetworkPolicy {
    pub id: String,
    pub project_id: String,
    pub name: String,
    pub description: Option<String>,
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
    /// The id of the key that made it.
    pub created_by: Option<String>,
}
