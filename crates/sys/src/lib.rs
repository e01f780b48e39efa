//! Syscall wrappers, and every `unsafe` block of Pinfold.
//!
//! Wrappers take and return owned descriptors and newtypes. What rustix offers safely is used
//! directly by the other crates; here stands only what it does not.

pub mod btrfs;
pub mod datagram;
pub mod fsid;
pub mod gate;
pub mod handover;
pub mod identity;
pub mod loopback;
pub mod namespace;
pub mod process;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod spawn;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "async")]
pub mod watch;
