//! Facts about the server.

use serde::{Deserialize, Serialize};

/// The server is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Always `ok`: a server that is not ready answers 503 with an error.
    pub status: String,
    pub version: String,
    /// The level, such as `namespace`.
    pub isolation: String,
}

/// What stands between a sandbox and its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Isolation {
    pub level: String,
    /// Mechanisms in force.
    pub enforced: Vec<String>,
    /// What this host or user cannot provide, each with its reason.
    pub weaker: Vec<String>,
}
