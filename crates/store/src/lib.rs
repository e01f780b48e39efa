//! Repositories over SQLite (embedded) and PostgreSQL (served at scale), one per aggregate.
//!
//! Owns the schema, the transactions and the translation between rows and `pinfold-model`. Knows no
//! use case: whether a caller may see a row, and when a change is due, is decided by the engine.
//!
//! ```text
//! Store --> Sandboxes, Commands, ... --> Sql + Query --> Db::{Lite, Pg} --> sqlx
//! Blobs --> object_store (a local directory, or S3)
//! ```
//! Almost every statement has one text that both databases take; times are microseconds since the
//! epoch, documents are JSON in TEXT. Lists are newest first and walked by keyset [`Cursor`]s.

mod audit;
mod axons;
mod blobs;
mod builds;
mod code_contexts;
mod commands;
mod db;
mod error;
mod gateways;
mod idempotency;
mod images;
mod keys;
mod network_policies;
mod objects;
mod page;
mod pipeline_runs;
mod previews;
mod projects;
mod quota;
mod sandboxes;
mod scope;
mod secrets;
mod settings;
mod snapshots;
mod ssh_keys;
mod statements;
mod store;
mod templates;
mod terminals;
mod tunnels;
mod usage;

pub use audit::{Audit, AuditFilter};
pub use axons::{Axons, EventBounds};
pub use blobs::{BlobError, BlobLease, BlobReader, BlobWriter, Blobs};
pub use builds::{BuildBounds, BuildFilter, Builds};
pub use code_contexts::{CodeContexts, NewContext};
pub use commands::{Commands, Progress, Unfinished};
pub use error::{QuotaKind, QuotaOf, Result, StoreError, Thing};
pub use gateways::Gateways;
pub use idempotency::{Claim, Idempotency, IdempotencyKeys, Inserted};
pub use images::{Images, StepImage, Withdrawal};
pub use keys::Keys;
pub use network_policies::NetworkPolicies;
pub use objects::{Content, ObjectFilter, ObjectStates, Objects};
pub use page::{Cursor, InvalidCursor, Page, PageRequest};
pub use pipeline_runs::{NewRun, PipelineRuns};
pub use previews::{KeptPreview, PreviewFilter, PreviewLink, Previews};
pub use projects::{Home, Projects};
pub use sandboxes::{METADATA_FILTERS_MAX, SandboxFilter, Sandboxes, States, Transition};
pub use scope::Scope;
pub use secrets::Secrets;
pub use settings::Settings;
pub use snapshots::Snapshots;
pub use ssh_keys::SshKeys;
pub use store::Store;
pub use templates::Templates;
pub use terminals::{NamedCommand, Terminals};
pub use tunnels::Tunnels;
pub use usage::{Metered, Usage, UsageMark};
