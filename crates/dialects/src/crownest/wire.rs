//! The vendor's requests and resources as they stand on the wire. Fields that are unset are left
//! out, never null; unknown fields of requests are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateSandbox {
    pub(super) template: Option<String>,
    pub(super) template_version_id: Option<String>,
    pub(super) ttl_ms: Option<i64>,
    /// Values of any kind, so that a wrong one gets its own error.
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) project_id: Option<String>,
    pub(super) restore_from: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtendSandbox {
    pub(super) ttl_ms: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListSandboxes {
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) include: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListPage {
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunCommand {
    pub(super) command: String,
    pub(super) cwd: Option<String>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) collect: Option<Vec<Collect>>,
    pub(super) collect_on: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Collect {
    pub(super) path: String,
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CancelCommand {
    pub(super) mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logs {
    pub(super) after_seq: Option<u64>,
    pub(super) limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FilePath {
    pub(super) path: String,
    pub(super) encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CreateArtifact {
    pub(super) path: String,
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DownloadFile {
    pub(super) path: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListFiles {
    pub(super) path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriteFile {
    pub(super) path: String,
    pub(super) content: String,
    pub(super) create_parents: Option<bool>,
    pub(super) encoding: Option<String>,
    pub(super) overwrite: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MakeDirectory {
    pub(super) path: String,
    pub(super) parents: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MoveFile {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) overwrite: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateContext {
    pub(super) language: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) timeout_ms: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunCode {
    pub(super) code: String,
    pub(super) language: Option<String>,
    pub(super) context_id: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) artifact_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatePreview {
    pub(super) port: i64,
    pub(super) auth_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CreateProject {
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) org_id: String,
    pub(super) project_id: String,
    pub(super) status: &'static str,
    pub(super) template_id: String,
    pub(super) template_slug: String,
    pub(super) template_version: String,
    pub(super) template_version_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destroyed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destroyed_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) sandbox_id: String,
    pub(super) command: String,
    pub(super) cwd: String,
    pub(super) env: BTreeMap<String, String>,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stdout_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stderr_truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancel_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) canceled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) termination_signal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) killed_reason: Option<&'static str>,
    pub(super) collect_status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) collect_errors: Vec<CollectError>,
}

#[derive(Debug, Serialize)]
pub(super) struct CollectError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogChunk {
    pub(super) command_id: String,
    pub(super) created_at: String,
    pub(super) data: String,
    pub(super) seq: u64,
    pub(super) stream: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogPage {
    pub(super) data: Vec<LogChunk>,
    pub(super) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_seq: Option<u64>,
}

/// One event of a command's stream.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(super) enum StreamEvent {
    Log {
        created_at: String,
        data: String,
        seq: u64,
        stream: &'static str,
    },
    Heartbeat {
        created_at: String,
    },
    Terminal {
        created_at: String,
        command: Box<Command>,
    },
    Error {
        created_at: String,
        code: &'static str,
        message: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileStat {
    pub(super) path: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) size_bytes: u64,
    pub(super) modified_at: String,
    /// Only entries of a directory have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileContent {
    pub(super) path: String,
    pub(super) size_bytes: u64,
    pub(super) encoding: &'static str,
    pub(super) content: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact {
    pub(super) id: String,
    pub(super) org_id: String,
    pub(super) project_id: String,
    pub(super) sandbox_id: String,
    pub(super) name: String,
    pub(super) object_key: String,
    pub(super) size_bytes: u64,
    /// What code has shown was in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_path: Option<String>,
    pub(super) content_type: String,
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retention_expires_at: Option<String>,
}

/// Where to download something, for a while.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownloadUrl {
    pub(super) url: String,
    pub(super) method: &'static str,
    /// An artifact's alone has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) auth_mode: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeContext {
    pub(super) id: String,
    pub(super) sandbox_id: String,
    pub(super) language: &'static str,
    pub(super) cwd: String,
    pub(super) is_default: bool,
    pub(super) created_at: String,
    pub(super) expires_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeRun {
    pub(super) sandbox_id: String,
    pub(super) context_id: String,
    pub(super) language: &'static str,
    pub(super) execution_count: u32,
    pub(super) stdout: Vec<String>,
    pub(super) stderr: Vec<String>,
    pub(super) stdout_truncated: bool,
    pub(super) stderr_truncated: bool,
    pub(super) outputs: Vec<CodeOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<CodeError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<f64>,
}

/// One form of what code has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub(super) enum CodeOutput {
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
pub(super) enum RejectedReason {
    ArtifactScopeRequired,
    OutputTooLarge,
    RequiresArtifactPromotion,
    UnsafeActiveContent,
    UnsupportedFormat,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CodeError {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) traceback: Vec<String>,
}

/// One event of a run of code.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
pub(super) enum CodeEvent {
    Stdout(String),
    Stderr(String),
    Output(CodeOutput),
    Error(CodeError),
    /// The last one.
    Complete(Box<CodeRun>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) url: String,
    pub(super) org_id: String,
    pub(super) project_id: String,
    pub(super) sandbox_id: String,
    pub(super) port: u16,
    pub(super) auth_mode: &'static str,
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<String>,
}

/// The token is shown once, by the call that made the preview.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedPreview {
    pub(super) preview: Preview,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preview_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) org_id: String,
    pub(super) name: String,
    pub(super) created_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKey {
    pub(super) id: String,
    pub(super) org_id: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) last4: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project_ids: Option<Vec<String>>,
    pub(super) scopes: Vec<&'static str>,
    pub(super) created_by_user_id: String,
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_used_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    pub(super) period: Period,
    pub(super) pricing_version: &'static str,
    pub(super) compute_unit_seconds_per_credit: u64,
    pub(super) currency_per_credit: f64,
    pub(super) compute_unit_seconds: Used,
    pub(super) credits: Used,
    pub(super) quotas: BTreeMap<&'static str, Quota>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Period {
    pub(super) start: String,
    pub(super) end: String,
    pub(super) reset_at: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Used {
    pub(super) used: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Quota {
    pub(super) limit: u64,
    pub(super) current: u64,
    pub(super) remaining: u64,
}

/// Part of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

macro_rules! envelopes {
    ($($envelope:ident { $field:ident: $type:ty },)+) => {$(
        #[derive(Debug, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) struct $envelope {
            pub(super) $field: $type,
        }
    )+};
}

envelopes! {
    OneSandbox { sandbox: Sandbox },
    OneCommand { command: Command },
    OneFile { file: FileStat },
    Files { data: Vec<FileStat> },
    Deleted { deleted: bool },
    OneArtifact { artifact: Artifact },
    OneContext { context: CodeContext },
    OneRun { run: CodeRun },
    OnePreview { preview: Preview },
    OneProject { project: Project },
    OneApiKey { api_key: ApiKey },
}
