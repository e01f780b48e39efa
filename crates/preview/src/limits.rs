//! Bounds of carrying traffic.

use std::time::Duration;

/// What one exchange may take, and all of them together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until a port inside accepts a connection.
    pub dial: Duration,
    /// Until the application's head has come, counted from the last byte of the request's body that
    /// moved. Bodies have no deadline.
    pub head: Duration,
    /// The status line and all headers of one answer.
    pub head_max_bytes: usize,
    /// Headers of one answer.
    pub headers_max: usize,
    /// How long a connection is kept for the next request. Shorter than what servers do, so that they
    /// rarely close one that we are about to use.
    pub idle: Duration,
    /// Kept connections of one port, and of all together.
    pub idle_per_port: usize,
    pub idle_total: usize,
    /// Exchanges at once, over all previews.
    pub exchanges: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(10),
            head: Duration::from_secs(300),
            head_max_bytes: 64 << 10,
            headers_max: 200,
            idle: Duration::from_secs(4),
            idle_per_port: 32,
            idle_total: 1024,
            exchanges: 4096,
        }
    }
}
