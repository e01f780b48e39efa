//! Code contexts and runs of code.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CreateContext {
    pub(in crate::crownest) language: Option<String>,
    pub(in crate::crownest) cwd: Option<String>,
    pub(in crate::crownest) timeout_ms: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct RunCode {
    pub(in crate::crownest) code: String,
    pub(in crate::crownest) language: Option<String>,
    pub(in crate::crownest) context_id: Option<String>,
    pub(in crate::crownest) cwd: Option<String>,
    pub(in crate::crownest) timeout_ms: Option<i64>,
    pub(in crate::crownest) artifact_policy: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CodeContext {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) sandbox_id: String,
    pub(in crate::crownest) language: &'static str,
    pub(in crate::crownest) cwd: String,
    pub(in crate::crownest) is_default: bool,
    pub(in crate::crownest) created_at: String,
    pub(in crate::crownest) expires_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct CodeRun {
    pub(in crate::crownest) sandbox_id: String,
    pub(in crate::crownest) context_id: String,
    pub(in crate::crownest) language: &'static str,
    pub(in crate::crownest) execution_count: u32,
    pub(in crate::crownest) stdout: Vec<String>,
    pub(in crate::crownest) stderr: Vec<String>,
    pub(in crate::crownest) stdout_truncated: bool,
    pub(in crate::crownest) stderr_truncated: bool,
    pub(in crate::crownest) outputs: Vec<CodeOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) error: Option<CodeError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) duration_ms: Option<f64>,
}

/// One form of what code has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(in crate::crownest) enum CodeOutput {
    Inline {
        format: &'static str,
        value: Value,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    Artifact {
        format: &'static str,
        artifact_id: String,
        content_type: String,
        size_bytes: u64,
    },
    Rejected {
        format: String,
        reason: RejectedReason,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::crownest) enum RejectedReason {
    ArtifactScopeRequired,
    OutputTooLarge,
    RequiresArtifactPromotion,
    UnsafeActiveContent,
    UnsupportedFormat,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::crownest) struct CodeError {
    pub(in crate::crownest) name: String,
    pub(in crate::crownest) message: String,
    pub(in crate::crownest) traceback: Vec<String>,
}

/// One event of a run of code.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
pub(in crate::crownest) enum CodeEvent {
    Stdout(String),
    Stderr(String),
    Output(CodeOutput),
    Error(CodeError),
    /// The last one.
    Complete(Box<CodeRun>),
}
