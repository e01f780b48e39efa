//! Pinfold's use cases over model, store, runtime and images.
//!
//! Every use case takes a [`Ctx`](pinfold_model::Ctx), authorizes itself, is timed and leaves its
//! line in the audit trail in one place (`usecase.rs`). This crate knows no HTTP and no vendor.
//!
//! ```text
//! Engine --> use cases (sandboxes, commands, files, ...) --> Registry --> one owner task per sandbox
//!                          |                                                   |
//!                        Store                                      Driver, Guest, Journals
//! ```
//! The owner task of a sandbox makes every change of its state, one at a time; use cases read its
//! published view without waiting. Each running command has a task of its own that ends with it.

mod access;
mod audit;
mod axons;
mod behind;
mod builds;
mod clock;
mod code;
mod commands;
mod config;
mod engine;
mod errors;
mod files;
mod gateways;
mod host;
mod images;
mod keys;
mod links;
mod live;
mod network_policies;
mod objects;
mod pipelines;
mod previews;
mod projects;
mod reconcile;
mod recovery;
mod sandboxes;
mod secrets;
mod sessions;
mod ssh;
mod steps;
mod templates;
mod turns;
mod usage;
mod usecase;
mod warm;

pub use axons::{AxonEventPage, AxonReader, CreateAxon, Databases, SqlBatch};
pub use builds::{BuildEvent, BuildReader, CreateBuild};
pub use clock::{Clock, SystemClock};
pub use code::{
    CodeCompletion, CodeEnding, CodeError, CodeEvent, CodeOutput, CodeReader, CodeRun,
    CodeRunState, CreateCodeContext, RejectedForm, RunCode,
};
pub use commands::{
    Attended, LogPage, LogsRequest, OutputReader, OutputTail, RunOptions, RunOutput, TextChunk,
    TextDecoder, TextPage, TextReader, TextTail,
};
pub use config::{EngineConfig, HostMounts, Lifetime, Parts, PullPolicy};
pub use engine::{Drain, Engine};
pub use files::{
    DirectoryCursor, DirectoryPage, FileAt, FileChange, FileChangeKind, FileEntry, FileKind,
    FileReader, FileWatch, FileWriter, Listing, MakeDirectory, MoveFile, ReadRange, WriteFile,
};
pub use gateways::{GatewayToken, PutGateway, PutHeader, PutValue, WantedGateway};
pub use host::HostLook;
pub use images::{
    DescribeSnapshot, ImageExport, ImageImport, ImageProgress, ImagePull, OnImageProgress,
    PullEnding, PullFailure, PullImage, TakeSnapshot,
};
pub use keys::{BOOTSTRAP_SECRET_MIN_CHARS, CreateKey, CreatedKey, Expires};
pub use links::{Link, LinkUse, Linked, Redeemed};
pub use network_policies::CreateNetworkPolicy;
pub use objects::{CreateObject, ObjectBody, ObjectReader, ShownForm};
pub use pipelines::{
    PIPELINE_DOCUMENT_MAX_BYTES, PipelineDocument, ReportBounds, RunEvent, RunReader, RunReport,
    StepOutput, SubmitRun,
};
pub use previews::{
    CreatePreview, CreatedPreview, CreatedPreviewLink, EnabledTunnel, ListedPreviews, OpenPreview,
    PREVIEW_LINK_PREFIX, PREVIEW_TOKEN_PREFIX, PreviewSession, ShownTunnel, Verdict, Visit,
};
pub use projects::QuotaChange;
pub use sandboxes::{
    CreateSandbox, DescribeSandbox, ImageOrTemplate, SandboxNetwork, SandboxWatch, Wait,
};
pub use secrets::{InvalidMasterKey, MasterKey, SecretsKey};
pub use sessions::{
    AttachedTerminal, NamedTerminal, OpenTerminal, TERMINAL_IDLE, Terminal, TerminalInput,
};
pub use ssh::{CreateSshKey, CreatedSshKey, SshLogin};
pub use templates::Share;
pub use usage::{ProjectMonth, SandboxUsage, SandboxUsed};

pub use pinfold_egress::{Counts as NetworkCounts, Egress, Outside, Refused as NetworkRefused};
pub use pinfold_images::{
    CredentialFile, CredentialFileError, Credentials, LayerProgress, PullPhase, PullProgress,
};
pub use pinfold_runtime::default_path;
pub use pinfold_sql::{
    Answer as SqlAnswer, Column as SqlColumn, Statement as SqlStatement, Value as SqlValue,
};
pub use pinfold_store::{
    AuditFilter, BuildFilter, Cursor, ObjectFilter, ObjectStates, Page, PageRequest, SandboxFilter,
    States,
};

/// What an idempotent request answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted<T> {
    pub value: T,
    pub origin: Origin,
}

/// Whose request made the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This one.
    New,
    /// An earlier one with the same idempotency key; nothing was made now.
    Replay,
}
