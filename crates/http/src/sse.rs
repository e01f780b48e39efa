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
    /// Empty: the field is left out, which is `message`.
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

impl Event {
    /// The same in ASCII only: other characters are escaped, for clients whose idea of a line break
    /// is wider than the standard's.
    pub fn ascii_json(
        name: &'static str,
        id: Option<String>,
        value: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let mut bytes = Vec::new();
        let mut into = serde_json::Serializer::with_formatter(&mut bytes, Ascii);
        value.serialize(&mut into)?;
        Ok(Self {
            name,
            id,
            data: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

/// Compact JSON without any byte above 0x7f.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, into: &mut W, fragment: &str) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
            into.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            let escaped = after.next().unwrap_or_default();
            for unit in escaped.encode_utf16(&mut [0; 2]) {
                write!(into, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        into.write_all(rest.as_bytes())
    }
}

impl From<Event> for AxumEvent {
    fn from(event: Event) -> Self {
        let made = match event.name {
            "" => Self::default(),
            name => Self::default().event(name),
        };
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
    respond_with(events, draining, HEARTBEAT, "heartbeat")
}

/// The same with the pause and the comment of a facade's own heartbeat.
pub fn respond_with<E>(
    events: E,
    draining: Draining,
    silence: Duration,
    comment: &'static str,
) -> Response
where
    E: Stream<Item = Event> + Send + 'static,
{
    let events = events
        .take_until(draining.wait_owned())
        .map(|event| Ok::<AxumEvent, Infallible>(event.into()));
    let heartbeat = KeepAlive::new().interval(silence).text(comment);
    let headers = [
        (CACHE_CONTROL, "no-cache"),
        // nginx buffers whole answers otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events).keep_alive(heartbeat)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_json_reads_back_as_it_was_and_holds_no_line_break() {
        let text = "a\u{85}b\u{2028}c\u{2029}\u{1f600}\n\r\"\\\u{7f}";
        let event = Event::ascii_json("log", None, &text).expect("plain data");
        assert!(
            event.data.bytes().all(|b| (0x20..0x80).contains(&b)),
            "{}",
            event.data
        );
        let back: String = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(back, text);
    }
}
