//! What can go wrong with a pull, and how use cases show it. No text of a registry is passed on.

use std::error::Error as StdError;
use std::time::Duration;

use pinfold_model::{Code, Digest, Error};

use super::reference::ReferenceError;
use crate::error::ImportError;

/// A pull that did not happen. Nothing of it is left but whole layers that no image uses yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error("the credentials are empty or hold characters that cannot be sent")]
    Credentials,
    #[error(
        "the registry {registry} is on this server's own network: only an admin may pull from \
         there, or the operator lists it with --insecure-registry or in --registry-auth"
    )]
    Inside { registry: String },
    /// No connection, no answer, or none that ends.
    #[error("the registry {registry} cannot be reached: {why}")]
    Unreachable { registry: String, why: String },
    /// It asked for a connection that is not made for it.
    #[error("the registry {registry} leads to {place}, {why}")]
    Astray {
        registry: String,
        place: String,
        why: &'static str,
    },
    #[error("the registry {registry} has no {what}")]
    NotFound { registry: String, what: String },
    #[error("the registry {registry} has no {what}, or does not let {whom} read it")]
    Denied {
        registry: String,
        what: String,
        whom: &'static str,
    },
    #[error("the registry {registry} refuses for now: too many requests")]
    Busy {
        registry: String,
        retry_after: Option<Duration>,
    },
    #[error("the registry {registry} answered with status {status}")]
    Status { registry: String, status: u16 },
    #[error("the registry {registry} broke the connection off {attempts} times")]
    BrokenOff { registry: String, attempts: u32 },
    #[error("the registry {registry} sends too slowly")]
    TooSlow { registry: String },
    #[error("the registry {registry} sent {what}: {problem}")]
    Protocol {
        registry: String,
        what: String,
        problem: String,
    },
    #[error("the registry {registry} sent content with digest {actual} for {expected}")]
    Digest {
        registry: String,
        expected: Digest,
        actual: Digest,
    },
    #[error("there is no image for {wanted}; there are: {present}")]
    NoSuchPlatform { wanted: String, present: String },
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("the download cannot be written")]
    Write(#[source] std::io::Error),
    #[error("the pull was cancelled")]
    Cancelled,
}

impl PullError {
    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::BrokenOff { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Reference(_) | Self::Credentials => Code::InvalidArgument,
            Self::Inside { .. } => Code::PermissionDenied,
            Self::NotFound { .. } | Self::Denied { .. } | Self::NoSuchPlatform { .. } => {
                Code::ImageNotFound
            }
            Self::Protocol { .. } | Self::Digest { .. } => Code::InvalidImage,
            Self::Unreachable { .. }
            | Self::Astray { .. }
            | Self::Busy { .. }
            | Self::Status { .. }
            | Self::BrokenOff { .. }
            | Self::TooSlow { .. } => Code::ImagePullFailed,
            Self::Write(_) | Self::Import(_) | Self::Cancelled => Code::Unavailable,
        }
    }
}

impl From<PullError> for Error {
    fn from(error: PullError) -> Self {
        let code = error.code();
        match error {
            PullError::Import(import) => import.into(),
            PullError::Write(source) => ImportError::Write {
                entry: "a download".to_owned(),
                source,
            }
            .into(),
            PullError::Busy { retry_after, .. } => {
                let shown = Self::new(code, error.to_string());
                match retry_after {
                    Some(after) => shown.retry_after(after),
                    None => shown,
                }
            }
            _ => Self::new(code, error.to_string()),
        }
    }
}

/// The innermost cause: what the system or the peer said, without addresses and headers around it.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    const SHOWN_MAX_CHARS: usize = 200;
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_MAX_CHARS)
        .collect()
}
