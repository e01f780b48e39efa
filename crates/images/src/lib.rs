//! Images on disk: a content-addressed store of unpacked layers, safe import of root-filesystem
//! tars and OCI layouts, writing such layouts, pulling from registries, and the generated `host` image.
//!
//! Archives and registries are hostile by assumption. Nothing here talks to a database: the caller
//! keeps the image records and holds the [`Lease`] of what it was given until they are written.
//! Every call but those of [`Puller`] blocks; async callers use a blocking task.

mod codec;
mod context;
mod detect;
mod dockerfile;
mod error;
mod export;
mod host;
mod import;
mod limits;
mod oci;
mod progress;
mod refusal;
mod registry;
mod remove;
mod rootfs;
mod store;
mod unpack;

pub use context::{
    CONTEXT_DEPTH_MAX, CONTEXT_ENTRIES_MAX, Context, ContextError, Ignore, Owner, Pattern,
    Selection, Style, files, recast, unpacked, wildcard, written,
};
pub use dockerfile::{
    Action, Base, CopyAction, CopyFrom, CopyKind, DOCKERFILE_MAX_BYTES, Dockerfile,
    DockerfileError, Evaluation, Evaluator, Operation, RunAction, RunProgram,
};
pub use error::{ImportError, StoreError};
pub use export::{Export, ExportError, LayerTree, OciLayoutTar};
pub use host::{Bind, HostError, HostImage, HostRoot};
pub use import::{Imported, Importer};
pub use limits::Limits;
pub use progress::{OnProgress, Progress};
pub use refusal::Refusal;
pub use registry::{
    CredentialFile, CredentialFileError, Credentials, LayerProgress, Platform, PullError,
    PullPhase, PullProgress, PullRequest, Pulled, Puller, Reach, Reference, ReferenceError,
};
pub use store::{LayerStore, Lease, Removed, Sweep};
pub use unpack::{Ownership, Report};
