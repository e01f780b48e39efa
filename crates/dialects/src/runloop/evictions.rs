//! Evictions of devboxes by the vendor's infrastructure: here nothing moves a devbox away.

use axum::response::Response;
use futures::stream::pending;
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining};

use super::stream::PING;

/// Those that are pending, of which there are none, and then those to come.
pub(super) async fn watch(_: Caller, draining: Draining) -> Response {
    sse::respond_with(pending::<Event>(), draining, PING, "ping")
}
