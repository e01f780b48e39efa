//! Why a guest did not do what it was asked.

use std::sync::Arc;

use pinfold_proto::{Failure, FailureKind, VersionMismatch};

#[derive(Debug, Clone, thiserror::Error)]
pub enum GuestError {
    /// The link is gone. What was asked may or may not have been done.
    #[error("the sandbox's guest is gone")]
    Lost,
    /// No answer in time. What was asked may or may not have been done.
    #[error("the sandbox's guest did not answer in time")]
    Timeout,
    #[error(transparent)]
    Version(#[from] VersionMismatch),
    /// The guest says no; nothing was done.
    #[error("{message}")]
    Refused {
        kind: FailureKind,
        message: String,
        errno: i32,
    },
    /// The guest broke the protocol and lost its link.
    #[error("the sandbox's guest broke the protocol: {0}")]
    Protocol(String),
    #[error("talking to the sandbox's guest failed")]
    Io(#[source] Arc<std::io::Error>),
}

/// Longest text of a guest that is passed on.
const MESSAGE_MAX_CHARS: usize = 4096;

impl GuestError {
    /// The kind, where the guest refused.
    #[must_use]
    pub fn refusal(&self) -> Option<FailureKind> {
        match self {
            Self::Refused { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

impl From<std::io::Error> for GuestError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<rustix::io::Errno> for GuestError {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

impl From<Failure> for GuestError {
    fn from(failure: Failure) -> Self {
        Self::Refused {
            kind: failure.kind(),
            message: failure.message.chars().take(MESSAGE_MAX_CHARS).collect(),
            errno: failure.errno,
        }
    }
}
