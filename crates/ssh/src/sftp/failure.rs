//! What is told of a request that failed.

use pinfold_model::{Code, Error, ErrorKind};
use russh_sftp::protocol::{Packet, StatusCode};

use crate::fault;

/// A status other than OK, and its text.
#[derive(Debug)]
pub(super) struct Failure {
    code: StatusCode,
    text: String,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::Failure,
            text: text.into(),
        }
    }

    pub(super) fn unsupported(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::OpUnsupported,
            text: text.into(),
        }
    }

    pub(super) fn end() -> Self {
        Self {
            code: StatusCode::Eof,
            text: "end of file".to_owned(),
        }
    }

    pub(super) fn packet(&self, request: u32) -> Packet {
        Packet::status(request, self.code, &self.text, "en")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match (error.code(), error.kind()) {
            (Code::FileNotFound | Code::ParentNotFound, _) => StatusCode::NoSuchFile,
            (_, ErrorKind::PermissionDenied) => StatusCode::PermissionDenied,
            (_, ErrorKind::Unsupported) => StatusCode::OpUnsupported,
            _ => StatusCode::Failure,
        };
        fault::log(&error, "a request of SFTP failed");
        Self {
            code,
            text: error.message().to_owned(),
        }
    }
}
