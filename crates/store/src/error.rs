//! What can go wrong in the store, and what of it a caller may read.

use pinfold_model::{Code, Error};
use rusqlite::ffi;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What kind of row an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Org,
    Project,
    Key,
    Sandbox,
    Command,
    CodeContext,
    Image,
    ImageName,
    Template,
    Run,
    Preview,
    SshKey,
    Object,
    Secret,
    NetworkPolicy,
    Axon,
    Gateway,
    Build,
    AuditEvent,
}

impl Thing {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Project => "project",
            Self::Key => "key",
            Self::Sandbox => "sandbox",
            Self::Command => "command",
            Self::CodeContext => "code context",
            Self::Image => "image",
            Self::ImageName => "image name",
            Self::Template => "template",
            Self::Run => "run",
            Self::Preview => "preview",
            Self::SshKey => "SSH key",
            Self::Object => "object",
            Self::Secret => "secret",
            Self::NetworkPolicy => "network policy",
            Self::Axon => "axon",
            Self::Gateway => "gateway",
            Self::Build => "build",
            Self::AuditEvent => "audit event",
        }
    }

    const fn not_found(self) -> Code {
        match self {
            Self::Org | Self::Project => Code::ProjectNotFound,
            Self::Key => Code::KeyNotFound,
            Self::Sandbox => Code::SandboxNotFound,
            Self::Command => Code::CommandNotFound,
            Self::CodeContext => Code::CodeContextNotFound,
            Self::Image | Self::ImageName => Code::ImageNotFound,
            Self::Template => Code::TemplateNotFound,
            Self::Run => Code::RunNotFound,
            Self::Preview => Code::PreviewNotFound,
            Self::SshKey => Code::SshKeyNotFound,
            Self::Object => Code::ObjectNotFound,
            Self::Secret => Code::SecretNotFound,
            Self::NetworkPolicy => Code::NetworkPolicyNotFound,
            Self::Axon => Code::AxonNotFound,
            Self::Gateway => Code::GatewayNotFound,
            Self::Build => Code::BuildNotFound,
            // Nothing looks an event up by its id, so none can be missing for a caller.
            Self::AuditEvent => Code::Internal,
        }
    }
}

/// Whose quota was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    Project,
    Key,
    Sandbox,
    Axon,
}

impl QuotaOf {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Key => "key",
            Self::Sandbox => "sandbox",
            Self::Axon => "axon",
        }
    }
}

/// Which bound was met: of a project's or key's quota, of a project's builds, of one sandbox
/// (active previews, SSH keys), or of one axon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    LiveSandboxes,
    VcpuMillis,
    MemoryMib,
    ActivePreviews,
    SshKeys,
    NetworkPolicies,
    AxonEventBytes,
    AxonEvents,
    Axons,
    Gateways,
    ObjectBytes,
    UnendedBuilds,
    BuiltImages,
}

impl QuotaKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LiveSandboxes => "live_sandboxes",
            Self::VcpuMillis => "vcpu",
            Self::MemoryMib => "memory_mib",
            Self::ActivePreviews => "active_previews",
            Self::SshKeys => "ssh_keys",
            Self::NetworkPolicies => "network_policies",
            Self::Axons => "axons",
            Self::AxonEvents => "axon_events",
            Self::AxonEventBytes => "axon_event_bytes",
            Self::Gateways => "gateways",
            Self::ObjectBytes => "object_bytes",
            Self::UnendedBuilds => "unended_builds",
            Self::BuiltImages => "built_images",
        }
    }

    /// An amount of it in the unit that its name has outside: whole CPUs, not thousandths.
    fn shown(self, amount: u64) -> serde_json::Value {
        match self {
            Self::VcpuMillis if !amount.is_multiple_of(1000) => (amount as f64 / 1000.0).into(),
            Self::VcpuMillis => (amount / 1000).into(),
            Self::LiveSandboxes
            | Self::MemoryMib
            | Self::ActivePreviews
            | Self::SshKeys
            | Self::NetworkPolicies
            | Self::Axons
            | Self::AxonEvents
            | Self::AxonEventBytes
            | Self::Gateways
            | Self::ObjectBytes
            | Self::UnendedBuilds
            | Self::BuiltImages => amount.into(),
        }
    }
}

/// Why a repository did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no {} {id}", thing.as_str())]
    NotFound { thing: Thing, id: String },
    #[error("the {} {id} exists already", thing.as_str())]
    AlreadyExists { thing: Thing, id: String },
    /// The new thing would take what its project, key or sandbox holds over `limit`; that is `used`
    /// now.
    #[error("{} quota {} is {limit}, {used} in use, {wanted} wanted", of.as_str(), quota.as_str())]
    QuotaExceeded {
        of: QuotaOf,
        quota: QuotaKind,
        limit: u64,
        used: u64,
        wanted: u64,
    },
    /// `by` names one of the things that refer to it.
    #[error("the {} {id} is used by {by}", thing.as_str())]
    InUse {
        thing: Thing,
        id: String,
        by: String,
    },
    /// An axon that is deleted takes no events, and keeps none.
    #[error("the axon {id} is deleted")]
    AxonDeleted { id: String },
    /// The idempotency key was used before for another payload.
    #[error("the idempotency key stands for another request")]
    IdempotencyConflict,
    /// The command id was used before for another command.
    #[error("the command {id} exists with another specification")]
    CommandConflict { id: String },
    /// A text holds a NUL character, which no database column takes.
    #[error("a text holds a NUL character")]
    NulInText,
    #[error("at most {max} metadata filters are possible, not {given}")]
    TooManyFilters { max: usize, given: usize },
    /// A stored value does not parse: written by a newer Pinfold, or damaged.
    #[error("the stored {column} does not parse")]
    Corrupt {
        column: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
    #[error("the database is too busy")]
    Busy,
    #[error("the database is closed")]
    Closed,
    #[error("the schema could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The database file or its directory cannot be made or opened.
    #[error("cannot open the database {path}")]
    Open {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn not_found(thing: Thing, id: impl Into<String>) -> Self {
        Self::NotFound {
            thing,
            id: id.into(),
        }
    }

    pub(crate) fn corrupt(
        column: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt {
            column,
            source: source.into(),
        }
    }

    /// An insert that met a unique index becomes [`StoreError::AlreadyExists`].
    pub(crate) fn on_unique(self, thing: Thing, id: &str) -> Self {
        match self.violation() {
            Some(Violation::Unique) => Self::AlreadyExists {
                thing,
                id: id.to_owned(),
            },
            _ => self,
        }
    }

    /// An insert that referred to a missing row becomes [`StoreError::NotFound`].
    pub(crate) fn on_missing(self, thing: Thing, id: &str) -> Self {
        match self.violation() {
            Some(Violation::ForeignKey) => Self::not_found(thing, id),
            _ => self,
        }
    }

    /// Whether the disk of the database has no room.
    fn is_full(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(source)) => {
                source.code().is_some_and(|code| code == POSTGRES_FULL)
            }
            Self::Sqlite(source) => source
                .sqlite_error()
                .is_some_and(|error| SQLITE_FULL.contains(&error.extended_code)),
            _ => false,
        }
    }

    fn violation(&self) -> Option<Violation> {
        match self {
            Self::Database(source) => match source.as_database_error()?.kind() {
                sqlx::error::ErrorKind::UniqueViolation => Some(Violation::Unique),
                sqlx::error::ErrorKind::ForeignKeyViolation => Some(Violation::ForeignKey),
                _ => None,
            },
            Self::Sqlite(source) => match source.sqlite_error()?.extended_code {
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                    Some(Violation::Unique)
                }
                ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Some(Violation::ForeignKey),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What a statement would have broken.
enum Violation {
    Unique,
    ForeignKey,
}

/// The last is for the index of its log.
const SQLITE_FULL: [i32; 2] = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE];
/// disk_full
const POSTGRES_FULL: &str = "53100";

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(source: sqlx::migrate::MigrateError) -> Self {
        Self::Migrate(source)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match &error {
            StoreError::NotFound { thing, .. } => Self::new(thing.not_found(), text),
            StoreError::AlreadyExists { .. } | StoreError::CommandConflict { .. } => {
                Self::new(Code::AlreadyExists, text)
            }
            StoreError::InUse { by, .. } => Self::new(Code::InUse, text).detail("by", by.clone()),
            StoreError::AxonDeleted { .. } => Self::new(Code::AxonDeleted, text),
            StoreError::IdempotencyConflict => Self::new(
                Code::IdempotencyConflict,
                "this idempotency key was used for another request; use a new key for a new request",
            ),
            StoreError::NulInText => Self::new(
                Code::InvalidArgument,
                "no text of a request may hold a NUL character",
            ),
            StoreError::TooManyFilters { .. } => Self::invalid("metadata", text),
            StoreError::QuotaExceeded {
                of,
                quota,
                limit,
                used,
                ..
            } => Self::new(Code::QuotaExceeded, quota_text(*of, *quota, *limit, *used))
                .detail("of", of.as_str())
                .detail("quota", quota.as_str())
                .detail("limit", quota.shown(*limit))
                .detail("used", quota.shown(*used)),
            StoreError::Busy | StoreError::Database(sqlx::Error::PoolTimedOut) => Self::new(
                Code::Unavailable,
                "the database is too busy; try again shortly",
            )
            .because(error),
            StoreError::Database(_) | StoreError::Sqlite(_) if error.is_full() => Self::new(
                Code::Unavailable,
                "the server's disk is full; try again when there is room",
            )
            .because(error),
            StoreError::Corrupt { .. }
            | StoreError::Database(_)
            | StoreError::Sqlite(_)
            | StoreError::Closed
            | StoreError::Migrate(_)
            | StoreError::Open { .. } => Self::internal(error),
        }
    }
}

fn quota_text(of: QuotaOf, quota: QuotaKind, limit: u64, used: u64) -> String {
    match quota {
        QuotaKind::LiveSandboxes | QuotaKind::VcpuMillis | QuotaKind::MemoryMib => format!(
            "the {}'s quota of {} is {} and {} are in use; destroy sandboxes or ask an admin to \
             raise it",
            of.as_str(),
            quota.as_str(),
            quota.shown(limit),
            quota.shown(used)
        ),
        QuotaKind::ObjectBytes => format!(
            "the project's objects may hold {limit} bytes together and hold {used}; delete objects \
             or ask an admin to raise the quota of object_bytes"
        ),
        QuotaKind::ActivePreviews => format!(
            "a sandbox may have {limit} active previews and this one has {used}; revoke one of them"
        ),
        QuotaKind::NetworkPolicies => format!(
            "a project may have {limit} network policies and this one has {used}; delete one of them"
        ),
        QuotaKind::Axons => {
            format!("a project may have {limit} axons and this one has {used}; delete one of them")
        }
        QuotaKind::AxonEvents => {
            format!("an axon keeps {limit} events and this one has {used}; publish to another one")
        }
        QuotaKind::AxonEventBytes if of == QuotaOf::Project => format!(
            "the events of a project's axons may hold {limit} bytes together and these hold {used}; delete \
             axons"
        ),
        QuotaKind::AxonEventBytes => format!(
            "the events of an axon may hold {limit} bytes together and these hold {used}; publish to \
             another one"
        ),
        QuotaKind::Gateways => format!(
            "a project may have {limit} gateways and this one has {used}; delete one of them"
        ),
        QuotaKind::SshKeys => format!(
            "a sandbox may have {limit} SSH keys and this one has {used}; delete one of them"
        ),
        QuotaKind::UnendedBuilds => format!(
            "a project may have {limit} builds that have not ended and this one has {used}; wait for \
             one to end, or cancel one"
        ),
        QuotaKind::BuiltImages => format!(
            "a project may keep {limit} images that builds made and this one has {used}, builds that \
             have not ended included; remove images that are no longer needed"
        ),
    }
}
