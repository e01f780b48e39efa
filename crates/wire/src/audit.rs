//! The audit trail: who did what to which thing, and how it ended.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::word::words;

words! {
    AuditOutcome {
        Ok = "ok",
        Denied = "denied",
        Failed = "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEvent {
    pub id: String,
    pub at: String,
    pub org_id: String,
    pub project_id: String,
    /// `null`: the system itself.
    pub key_id: Option<String>,
    pub request_id: String,
    /// `sandbox.create`, `command.start`, `key.revoke`, ...
    pub action: String,
    /// The id of the thing acted on.
    pub subject: String,
    pub outcome: AuditOutcome,
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Map<String, Value>,
}

/// Filters of the audit trail, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListAudit {
    /// Only this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only what was done to the thing with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 3339: at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
