//! How a sandbox's absolute lifetime counts.

use serde::{Deserialize, Serialize};

/// When an absolute lifetime counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TtlCounts {
    #[default]
    Always,
    /// It begins again with each start, and what is stopped or suspended is kept.
    WhileRunning,
}

impl TtlCounts {
    pub(super) fn is_always(&self) -> bool {
        *self == Self::Always
    }
}
