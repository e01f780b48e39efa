//! What is our own fault is logged, once, where it ends. The client is told that there was one.

use pinfold_model::{Error, ErrorKind};

/// Logs the error with its causes where it is such.
pub(crate) fn log(error: &Error, what: &'static str) {
    if error.kind() == ErrorKind::Internal {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, "{what}");
    }
}
