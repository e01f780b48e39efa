//! What can go wrong between a program and its server.

use std::time::Duration;

use pinfold_wire::{ErrorCode, ErrorEnvelope, PullFailure};
use serde_json::{Map, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused or failed; it says why.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// Nothing answers at the address.
    #[error(
        "no Pinfold server answers at {url}: start one with `pinfold serve`, or set PINFOLD_URL \
         to where one runs"
    )]
    Connect {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The server did not answer in time; the request may or may not have had its effect.
    #[error("the server at {url} did not answer within {after:?}")]
    Timeout { url: String, after: Duration },
    /// The connection broke while a request was under way.
    #[error("the connection to {url} broke off")]
    Broken {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what this version of the client understands.
    #[error("cannot understand the server's answer to {what}")]
    Decode {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    /// The server does not keep to the protocol; perhaps it is not Pinfold.
    #[error("unexpected behaviour of the server: {0}")]
    Protocol(String),
    /// The client was set up wrongly.
    #[error("{0}")]
    Config(String),
    /// A local file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// An error as the server told it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} ({code_text}, request {request_id})")]
pub struct ApiError {
    /// HTTP status; 0 where no answer carried the error.
    pub status: u16,
    /// `Unknown` for codes of newer servers; `code_text` has those too.
    pub code: ErrorCode,
    pub code_text: String,
    pub message: String,
    pub details: Map<String, Value>,
    /// Finds the request in the server's log.
    pub request_id: String,
    /// How long to wait before trying again, where the server says so.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// The server's error, where it is one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// The server's error code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.api().map(|error| error.code)
    }
}

impl ApiError {
    pub(crate) fn from_envelope(status: u16, envelope: ErrorEnvelope) -> Self {
        let error = envelope.error;
        Self {
            status,
            code: ErrorCode::from_word(&error.code),
            code_text: error.code,
            message: error.message,
            details: error.details,
            request_id: error.request_id,
            retry_after: None,
        }
    }

    /// A pull that failed while nobody waited for an answer, so it has no status and request.
    pub(crate) fn of_pull(failure: PullFailure) -> Self {
        Self {
            status: 0,
            code: ErrorCode::from_word(&failure.code),
            code_text: failure.code,
            message: failure.message,
            details: Map::new(),
            request_id: "-".to_owned(),
            retry_after: None,
        }
    }

    /// From an answer's body, which something else than Pinfold may have written.
    pub(crate) fn from_body(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(envelope) => Self::from_envelope(status, envelope),
            Err(_) => Self {
                status,
                code: ErrorCode::Unknown,
                code_text: format!("http_{status}"),
                message: format!(
                    "the answer was {status} without Pinfold's error body: a proxy's?"
                ),
                details: Map::new(),
                request_id: String::new(),
                retry_after: None,
            },
        }
    }
}
