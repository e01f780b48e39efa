//! The audit trail: who did what to which thing, and how it ended.

use serde_json::{Map, Value};

use crate::Time;
use crate::id::{AuditId, KeyId, OrgId, ProjectId, RequestId};

#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    pub id: AuditId,
    pub at: Time,
    pub org: OrgId,
    pub project: ProjectId,
    /// `None`: the system itself.
    pub key: Option<KeyId>,
    pub request: RequestId,
    /// `sandbox.create`, `command.start`, `key.revoke`, ...
    pub action: String,
    /// The id of the thing acted on.
    pub subject: String,
    pub outcome: Outcome,
    /// Facts worth keeping; never environment values, file contents or secrets.
    pub details: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Denied,
    Failed,
}

impl Outcome {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}
