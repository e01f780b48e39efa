//! How a handler or extractor fails: a domain error, a status and headers, not yet rendered.
//!
//! The rendering is the facade's: a failure travels to it as a response extension, so that one
//! extractor serves facades whose error bodies differ.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_model::{Error, ErrorKind};

use crate::status::status_of;

#[derive(Debug, Clone)]
pub struct Failure(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    error: Arc<Error>,
    status: StatusCode,
    headers: HeaderMap,
}

impl Failure {
    /// Overrides the status that the error's kind has.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(after) = error.retry_hint() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if error.kind() == ErrorKind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Self(Box::new(Parts {
            status: status_of(error.kind()),
            error: Arc::new(error),
            headers,
        }))
    }
}

/// Rounded up: a client that waits this long never comes too early.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.headers_mut().extend(self.0.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
