//! Why a sandbox is not there any more.

use serde::{Deserialize, Serialize};

/// Why a sandbox ended or failed; shown to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Somebody asked for it.
    Requested,
    /// Its absolute lifetime passed.
    TtlExpired,
    /// Nothing used it for its idle timeout.
    IdleExpired,
    /// Never finished booting; the error tells why.
    BootFailed,
    /// The guest or the whole machine went away.
    Lost,
    /// Memory ran out and the kernel ended it.
    OutOfMemory,
    /// What it was to be set up with did not fit on its disk.
    OutOfDisk,
    /// The command that it was there for has ended.
    MainExited,
}

impl EndReason {
    pub const ALL: [Self; 8] = [
        Self::Requested,
        Self::TtlExpired,
        Self::IdleExpired,
        Self::BootFailed,
        Self::Lost,
        Self::OutOfMemory,
        Self::OutOfDisk,
        Self::MainExited,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::TtlExpired => "ttl_expired",
            Self::IdleExpired => "idle_expired",
            Self::BootFailed => "boot_failed",
            Self::Lost => "lost",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfDisk => "out_of_disk",
            Self::MainExited => "main_exited",
        }
    }
}
