//! The one shape of every native error answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::word::words;

words! {
    /// Stable codes of errors; one page of documentation each.
    ErrorCode {
        InvalidArgument = "invalid_argument",
        Unauthenticated = "unauthenticated",
        PermissionDenied = "permission_denied",
        RouteNotFound = "route_not_found",
        MethodNotAllowed = "method_not_allowed",
        UnsupportedMediaType = "unsupported_media_type",
        RangeNotSatisfiable = "range_not_satisfiable",
        SandboxNotFound = "sandbox_not_found",
        CommandNotFound = "command_not_found",
        CodeContextNotFound = "code_context_not_found",
        SessionNotFound = "session_not_found",
        ImageNotFound = "image_not_found",
        TemplateNotFound = "template_not_found",
        SecretNotFound = "secret_not_found",
        AxonNotFound = "axon_not_found",
        AxonDeleted = "axon_deleted",
        SqlFailed = "sql_failed",
        BuildNotFound = "build_not_found",
        SecretsLocked = "secrets_locked",
        ObjectNotFound = "object_not_found",
        ProjectNotFound = "project_not_found",
        KeyNotFound = "key_not_found",
        PreviewNotFound = "preview_not_found",
        SshKeyNotFound = "ssh_key_not_found",
        NetworkPolicyNotFound = "network_policy_not_found",
        GatewayNotFound = "gateway_not_found",
        FileNotFound = "file_not_found",
        RunNotFound = "run_not_found",
        FileTooLarge = "file_too_large",
        ParentNotFound = "parent_not_found",
        PathOutside = "path_outside",
        OutputGone = "output_gone",
        UserNotFound = "user_not_found",
        IdempotencyConflict = "idempotency_conflict",
        AlreadyExists = "already_exists",
        FileExists = "file_exists",
        DirectoryNotEmpty = "directory_not_empty",
        InUse = "in_use",
        SandboxNotRunning = "sandbox_not_running",
        SandboxGone = "sandbox_gone",
        SandboxFailed = "sandbox_failed",
        ObjectGone = "object_gone",
        ObjectNotSealed = "object_not_sealed",
        ObjectSealed = "object_sealed",
        LinkInvalid = "link_invalid",
        LinkExpired = "link_expired",
        CommandEnded = "command_ended",
        StdinNotOpen = "stdin_not_open",
        NotAFile = "not_a_file",
        NotADirectory = "not_a_directory",
        DiskFull = "disk_full",
        FileAccessDenied = "file_access_denied",
        PortNotListening = "port_not_listening",
        PreviewGone = "preview_gone",
        PreviewUnavailable = "preview_unavailable",
        BodyTooLarge = "body_too_large",
        QuotaExceeded = "quota_exceeded",
        RateLimited = "rate_limited",
        Unsupported = "unsupported",
        UnsupportedCodeLanguage = "unsupported_code_language",
        InvalidImage = "invalid_image",
        ImagePullFailed = "image_pull_failed",
        Timeout = "timeout",
        GuestUnavailable = "guest_unavailable",
        Unavailable = "unavailable",
        Internal = "internal",
    }
}

/// The body of every answer of status 400 and above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEnvelope {
    pub error: ErrorBody,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// One of the [`ErrorCode`]s, or one that a newer server has.
    pub code: String,
    /// For people: what is wrong and what to do. Its wording may change.
    pub message: String,
    /// Structured facts, such as `field`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Map<String, Value>,
    /// Finds this request in the server's log.
    pub request_id: String,
}
