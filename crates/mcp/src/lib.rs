//! Sandboxes as tools of the Model Context Protocol, for agents.
//!
//! ```text
//! pinfold mcp: stdin, stdout -> tools -> client of a server
//! /mcp:        HTTP, a key   -> tools -> client of the API in this process, with the caller's key
//! ```
//! The tools are written once, over the Rust client, so they can do what their key can do and nothing
//! else, whichever way they are called. Knows the protocol and the client; no engine, no rule.

mod answer;
mod arguments;
mod calls;
mod code;
mod commands;
mod files;
mod http;
mod images;
mod output;
mod ports;
mod progress;
mod sandboxes;
mod server;
mod stdio;
mod tools;

pub use http::{PATH, router};
pub use stdio::{ServeError, serve_stdio};

/// One message of a client, in bytes: a line of stdin, a body of a request.
const MESSAGE_MAX_BYTES: usize = 4 << 20;
