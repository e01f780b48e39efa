//! Client of Pinfold's native API.
//!
//! ```no_run
//! # async fn example() -> Result<(), pinfold_sdk::Error> {
//! use pinfold_sdk::{Client, CreateSandbox, StartCommand};
//!
//! let client = Client::from_env()?;
//! let sandbox = client.sandboxes().create(&CreateSandbox::default()).await?;
//! let command = StartCommand { shell: Some("echo hi".into()), ..StartCommand::default() };
//! let run = client.commands().run(&sandbox.id, &command).await?;
//! assert_eq!(run.stdout, "hi\n");
//! client.sandboxes().destroy(&sandbox.id).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Requests that are safe to repeat are repeated, a few times, with jitter: reads, changes that are
//! idempotent by nature, and creates and starts, which carry an idempotency key of our own. A
//! [`CommandStream`] comes back from its last record after a dropped connection. With the feature
//! `blocking`, [`blocking`] offers the same without async.
//!
//! Knows the wire types and nothing of the server.

mod access;
#[cfg(feature = "blocking")]
pub mod blocking;
mod body;
mod builds;
mod client;
mod code;
mod commands;
mod error;
mod files;
mod images;
mod in_process;
mod network_policies;
mod objects;
mod pages;
mod pipelines;
mod previews;
mod pty;
mod retry;
mod sandboxes;
mod secrets;
mod server;
mod sse;
mod ssh_keys;
mod stream;
mod templates;
mod transport;
mod usage;

pub use access::{Keys, Projects};
pub use body::{ByteStream, Progress, Upload};
pub use builds::Builds;
pub use client::Client;
pub use code::Code;
pub use commands::{Commands, OutputOptions};
pub use error::{ApiError, Error, Result};
pub use files::{Files, WatchStream, WriteOptions};
pub use images::Images;
pub use in_process::InProcess;
pub use network_policies::NetworkPolicies;
pub use objects::Objects;
pub use pipelines::Pipelines;
pub use previews::Previews;
pub use pty::{Pty, PtyEvent, PtyReader, PtyWriter};
pub use sandboxes::Sandboxes;
pub use secrets::Secrets;
pub use ssh_keys::SshKeys;
pub use stream::{
    BuildStream, CodeStream, CommandStream, EventStream, Numbered, PipelineStream, StreamOptions,
};
pub use templates::Templates;
pub use usage::{Audit, UsageReports};

pub use pinfold_wire::*;
