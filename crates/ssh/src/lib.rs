//! The SSH gateway: `ssh`, `scp`, `sftp` and `ssh -L` into sandboxes.
//!
//! ```text
//! listener -> connection: handshake, deadline -> handler: key -> engine -> SshLogin
//!                |                                  |
//!        ends it, whatever hangs          a task for each channel: session -> program | sftp
//!                                                                  forward -> port inside
//! ```
//! The protocol is a library's (`russh`, `russh-sftp`); here is what it means for a sandbox. Who may
//! come in, and as whom, is the engine's to say. The client is hostile until it has logged in, and
//! what runs inside always is: everything has a bound, and nobody waits for either without an end.

mod channel;
mod connection;
mod fault;
mod gateway;
mod handler;
mod host_key;
mod limits;
mod seats;
mod sftp;
mod strangers;

pub use gateway::Gateway;
pub use host_key::{HostKey, HostKeyError};
pub use limits::Limits;
