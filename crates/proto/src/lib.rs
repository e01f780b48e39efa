//! The contract between host and guest.
//!
//! One message is one frame on a stream that keeps message boundaries (a seqpacket socket; a
//! length prefix elsewhere). The host asks, the guest answers with the same `id`; frames with id 0
//! are events of the guest. Bulk bytes never travel in frames: they flow through descriptors handed
//! over with a frame, and the guest is the side that opens files, so no path of a sandbox is ever
//! resolved on the host.
//!
//! A guest outlives many servers, so the protocol only grows: new fields get new tags, and unknown
//! requests are answered with [`Failure`] `UNSUPPORTED`. `tests/frozen.rs` holds the bytes of every
//! version ever released.

pub mod frame;
pub mod message;
pub mod spawn;
pub mod transport;

pub use message::*;

/// Version spoken by this build. A peer of another major version is refused by name.
pub const PROTOCOL_MAJOR: u32 = 1;
/// Grows with additions; a peer with a smaller minor simply lacks them.
pub const PROTOCOL_MINOR: u32 = 1;
/// The first minor version with [`Start::gate`]: an older guest refuses the descriptor.
pub const GATES_SINCE_MINOR: u32 = 1;

/// The descriptor number on which a guest finds its listening socket.
pub const GUEST_LISTEN_FD: i32 = 3;
/// The descriptor number on which a guest finds its first, already connected, host.
pub const GUEST_FIRST_LINK_FD: i32 = 4;

/// Whether a peer can be spoken to.
pub fn check_version(hello: &Hello) -> Result<(), VersionMismatch> {
    if hello.major == PROTOCOL_MAJOR {
        return Ok(());
    }
    Err(VersionMismatch {
        ours: PROTOCOL_MAJOR,
        theirs: hello.major,
    })
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guest protocol {theirs} is not {ours}: this sandbox was made by another Pinfold release")]
pub struct VersionMismatch {
    pub ours: u32,
    pub theirs: u32,
}
