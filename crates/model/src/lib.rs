//! Pinfold's domain: ids, types and pure state machines shared by every crate.
//!
//! This crate knows no I/O, no async, no HTTP and no SQL. `serde` derives exist only so that stores
//! can keep specs as JSON documents; wire formats have structs of their own.

pub mod access;
pub mod audit;
pub mod axon;
pub mod build;
pub mod code;
pub mod collect;
pub mod command;
pub mod credential;
pub mod error;
pub mod farewell;
pub mod gateway;
pub mod id;
pub mod image;
pub mod isolation;
pub mod journal;
pub mod limits;
pub mod network;
pub mod object;
pub mod pipeline;
pub mod preview;
pub mod resources;
pub mod sandbox;
pub mod scope;
pub mod secret;
pub mod secret_env;
pub mod setup;
pub mod signal;
pub mod snapshot;
pub mod ssh;
pub mod template;
pub mod terminal;
pub mod tunnel;
pub mod usage;

pub use access::{Ctx, Key, KeyKind, Org, Principal, Project, Quota, Role};
pub use axon::{Axon, AxonEvent, AxonOrigin, NewAxonEvent};
pub use build::Build;
pub use code::{CodeContext, CodeLanguage};
pub use command::{
    Command, CommandSpec, CommandState, ExitStatus, Program, Purpose, StdinMode, WindowSize,
};
pub use credential::{Credential, Destination};
pub use error::{Code, Error, ErrorKind, Result};
pub use farewell::Farewell;
pub use gateway::{Gateway, GatewayKind};
pub use id::{
    AuditId, AxonId, BlobId, BuildId, CodeContextId, CommandId, GatewayId, ImageId, KeyId,
    NetworkPolicyId, ObjectId, OrgId, PreviewId, ProjectId, PullId, RequestId, RunId, SandboxId,
    SecretId, SessionId, SshKeyId, TemplateId, TemplateVersionId,
};
pub use image::{Digest, Image, ImageConfig, ImageName, ImageSource};
pub use isolation::Isolation;
pub use network::{NamedPolicy, NetworkPolicy};
pub use object::{Object, ObjectSource, ObjectState};
pub use pipeline::PipelineRun;
pub use preview::{Preview, PreviewAccess, PreviewState, Slug};
pub use resources::{NetworkMode, Resources};
pub use sandbox::{Sandbox, SandboxSpec, SandboxState};
pub use scope::{Level, Resource, Scope, Scopes};
pub use secret::{Secret, SecretValue};
pub use secret_env::SecretEnv;
pub use setup::Setup;
pub use snapshot::Snapshot;
pub use ssh::{SshGateway, SshKey};
pub use template::Template;
pub use terminal::TerminalName;
pub use tunnel::{TerminalsKey, Tunnel, TunnelAccess, TunnelHost, TunnelKey, TunnelSpec};

/// A point in time. Stored and shown as RFC 3339 UTC with microseconds.
pub type Time = jiff::Timestamp;
