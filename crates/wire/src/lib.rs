//! The native HTTP API's words: one struct per request and response body, shared by the server, the
//! Rust SDK and the OpenAPI document.
//!
//! Knows serde and nothing of the engine, the domain types, HTTP servers or HTTP clients.
//!
//! Conventions: times are RFC 3339 UTC strings, durations are integer milliseconds (`*_ms`), sizes
//! say their unit, bytes travel as text where they are UTF-8 and as base64 otherwise (a field
//! `encoding` beside them says which). Requests refuse unknown fields by name; responses may gain
//! fields, so clients ignore what they do not know.

mod access;
mod audit;
mod build;
mod code;
mod command;
mod encoding;
mod error;
mod file;
mod image;
mod journal;
mod network_policy;
mod object;
mod page;
mod pipeline;
mod preview;
mod pty;
mod sandbox;
mod secret;
mod server;
mod ssh;
mod template;
mod usage;
mod word;

pub use access::{
    CreateKey, CreateProject, CreatedKey, Key, KeyKind, ListKeys, Project, Quota, QuotaChange,
    Role, UpdateKey, UpdateProject, WhoAmI,
};
pub use audit::{AuditEvent, AuditOutcome, ListAudit};
pub use build::{
    Build, BuildEvent, BuildEventsQuery, BuildFailure, BuildState, BuildStep, CreateBuild,
    ListBuilds,
};
pub use code::{
    CodeContext, CodeContextList, CodeError, CodeEvent, CodeEventsQuery, CodeLanguage, CodeOutput,
    CodeRun, CodeRunState, CreateCodeContext, RejectedForm, RunCode,
};
pub use command::{
    CancelCommand, CancelMode, Command, CommandState, ListCommands, ResizeCommand, RunResult,
    SignalCommand, StartCommand, StdinMode, WaitQuery, WindowSize,
};
pub use encoding::{BadBase64, Encoding};
pub use error::{ErrorBody, ErrorCode, ErrorEnvelope};
pub use file::{
    ArchiveQuery, Chmod, DeleteQuery, DirectoryList, FileEntry, FileKind, ListQuery, MakeDirectory,
    MoveFile, PathQuery, WatchEvent, WatchEventKind, WatchQuery, WriteQuery,
};
pub use image::{
    Image, ImageConfig, ImagePull, ImageSource, LayerProgress, ListImages, PullFailure, PullImage,
    PullQuery, PullState, PutImageQuery, TakeSnapshot,
};
pub use journal::{LogPage, LogsQuery, OutputQuery, Record, StreamName, StreamQuery};
pub use network_policy::{CreateNetworkPolicy, NamedNetworkPolicy, UpdateNetworkPolicy};
pub use object::{
    CreateObject, LinkUse, ListObjects, Object, ObjectState, SignFile, SignObject, SignedUrl,
    UploadObjectQuery,
};
pub use page::{Page, PageQuery};
pub use pipeline::{
    ListPipelineRuns, PipelineEvent, PipelineEventsQuery, PipelineFailure, PipelineReport,
    PipelineReportQuery, PipelineRun, PipelineRunState, PipelineStep, PipelineStepState,
    StepOutput, SubmitPipeline,
};
pub use preview::{
    CreatePreview, CreatePreviewLink, CreatedPreview, ListPreviews, Preview, PreviewAccess,
    PreviewLink, PreviewState,
};
pub use pty::{PtyClientMessage, PtyQuery, PtyServerMessage};
pub use sandbox::{
    CreateSandbox, EndReason, ExtendSandbox, IdleAction, ListSandboxes, NetworkMode, NetworkPolicy,
    NetworkRefusal, PutSandboxNetwork, Sandbox, SandboxNetwork, SandboxState,
};
pub use secret::{BindCredential, Credential, PutSecret, Secret};
pub use server::{Health, Isolation};
pub use ssh::{CreateSshKey, CreatedSshKey, SshGateway, SshKey};
pub use template::{PutTemplate, Template, TemplateQuery};
pub use usage::{Gauge, LifeUsage, ListSandboxUsage, SandboxUsage, Usage, UsageQuery};

/// Names of headers that both sides use.
pub mod header {
    /// Names one request in logs and errors; echoed where the caller sent a usable one.
    pub const REQUEST_ID: &str = "x-request-id";
    /// Makes a create or start safe to repeat: 1 to 255 printable ASCII characters, kept 24 hours.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// `true` where the answer belongs to an earlier request with the same idempotency key.
    pub const IDEMPOTENT_REPLAY: &str = "idempotent-replay";
    /// The key, for clients that cannot set `Authorization: Bearer`.
    pub const API_KEY: &str = "x-api-key";
}

/// Bounds that clients may rely on.
pub mod bound {
    /// A JSON request body, in bytes.
    pub const JSON_BODY_BYTES: usize = 2 << 20;
    /// Each of stdout and stderr inside a [`crate::RunResult`], in bytes before encoding; all of it
    /// stays readable through the command's output and logs.
    pub const RUN_INLINE_BYTES: usize = 1 << 20;
    /// Each stream of each step in a [`crate::PipelineReport`], in bytes, when the caller names no
    /// number, and at most; and all of them together.
    pub const REPORT_STREAM_DEFAULT: u32 = 64 << 10;
    pub const REPORT_STREAM_MAX: u32 = 1 << 20;
    pub const REPORT_BYTES: usize = 8 << 20;
    /// Above the number of every event of a pipeline's run: a stream behind it has the end alone.
    pub const PIPELINE_EVENTS_END: u64 = 1 << 52;
    /// A JSON answer, or one server-sent event, in bytes: a run of code has up to 8 MiB of output, of
    /// which JSON may make six times as much, beside its values.
    pub const MESSAGE_BYTES: usize = 96 << 20;
    /// Longest single long poll; a client that wants longer asks again.
    pub const WAIT_MAX_MS: u64 = 60_000;
    /// Items of one page, when the caller names no number, and at most.
    pub const PAGE_DEFAULT: u32 = 50;
    pub const PAGE_MAX: u32 = 500;
    /// Records of one page of logs at most.
    pub const LOG_PAGE_MAX: u32 = 1000;
    /// Entries of one directory listing at most.
    pub const DIRECTORY_MAX: u32 = 100_000;
}
