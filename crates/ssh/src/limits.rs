//! Bounds of the gateway.

use std::time::Duration;

/// What one connection may take, and all of them together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once that have logged in.
    pub connections: usize,
    /// Of them, those in sandboxes of one project.
    pub per_project: usize,
    /// Of them, those in one sandbox.
    pub per_sandbox: usize,
    /// Beside them, connections that have not logged in yet.
    pub strangers: usize,
    /// From the first byte until a key has been proved.
    pub handshake: Duration,
    /// Keys that one connection may try.
    pub attempts: usize,
    /// Channels of one connection at once: sessions and forwarded ports.
    pub channels: usize,
    /// And all in all: the library remembers each of them until the connection ends.
    pub channels_ever: usize,
    /// Sessions of SFTP of one connection at once: each may have much waiting.
    pub sftp: usize,
    /// Files and directories that one connection has open over SFTP.
    pub files: usize,
    /// Until a port inside accepts a connection.
    pub dial: Duration,
    /// A client that has not been heard for this long is asked for a sign of life.
    pub keepalive: Duration,
    /// So many such questions without an answer end its connection.
    pub keepalives: usize,
    /// How long nothing may have been taken of what came for a channel and filled its room, while the
    /// connection's other channels wait for that.
    pub stall: Duration,
    /// And where it is the only channel.
    pub stall_alone: Duration,
    /// How long an end of a connection may take before it is cut.
    pub farewell: Duration,
    /// Output of one command or terminal that is carried.
    pub output_max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_project: 128,
            per_sandbox: 32,
            strangers: 64,
            handshake: Duration::from_secs(30),
            attempts: 10,
            channels: 32,
            channels_ever: 5_000,
            sftp: 4,
            files: 64,
            dial: Duration::from_secs(10),
            keepalive: Duration::from_secs(60),
            keepalives: 10,
            stall: Duration::from_secs(30),
            stall_alone: Duration::from_secs(600),
            farewell: Duration::from_secs(3),
            output_max_bytes: 1 << 30,
        }
    }
}
