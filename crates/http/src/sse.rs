//! Server-sent events (WHATWG HTML, section 9.2): LF only, ids, heartbeats as comments.
//!
//! Pull-based: nothing is read from the source before the connection takes what was read, so a slow
//! reader holds one event and no more.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::response::sse::{Event as AxumEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Serialize;

use crate::serve::Draining;

/// Silence is broken after this long, so that proxies keep the connection and readers notice a dead
/// one.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// One event. `data` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: &'static str,
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    /// An event whose data is `value` as JSON, which never holds a line break.
    pub fn json(
        name: &'static str,
        id: Option<String>,
        value: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            name,
            id,
            data: serde_json::to_string(value)?,
        })
    }
}

impl From<Event> for AxumEvent {
    fn from(event: Event) -> Self {
        let made = Self::default().event(event.name);
        let made = match event.id {
            // An id with a line break or NUL would end or void the field; ours are numbers.
            Some(id) if !id.contains(['\n', '\r', '\0']) => made.id(id),
            _ => made,
        };
        made.data(event.data)
    }
}

/// Answers with `events` until they end or the server drains: then the stream closes cleanly and
/// the reader comes back with its last id.
pub fn respond<E>(events: E, draining: Draining) -> Response
where
    E: Stream<Item = Event> + Send + 'static,
{
    let events = events
        .take_until(draining.wait_owned())
        .map(|event| Ok::<AxumEvent, Infallible>(event.into()));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    let headers = [
        (CACHE_CONTROL, "no-cache"),
        // nginx buffers whole answers otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events).keep_alive(heartbeat)).into_response()
}
