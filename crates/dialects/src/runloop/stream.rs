//! What an execution writes, as events: text, and the byte of its stream behind it.
//!
//! The SDK takes the end of the stream for the end of the execution. What breaks off otherwise says
//! so in an event `error`, and the SDK comes back with the last offset.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures::Stream as Events;
use pinfold_engine::{Engine, OutputReader, TextDecoder};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Path, Query};
use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{Ctx, Result as Outcome};
use serde_json::json;

use super::errors::{Refused, status_of};
use super::{executions, wire};

/// Clients give up after 30 seconds of silence.
pub(super) const PING: Duration = Duration::from_secs(10);
/// Tells the SDK to come back.
pub(super) const COME_BACK: u16 = 408;

pub(super) async fn stdout(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    Query(query): Query<wire::Offset>,
    draining: Draining,
) -> Result<Response, Refused> {
    follow(engine, ctx, (devbox, id), query, Stream::Stdout, draining).await
}

pub(super) async fn stderr(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    Query(query): Query<wire::Offset>,
    draining: Draining,
) -> Result<Response, Refused> {
    follow(engine, ctx, (devbox, id), query, Stream::Stderr, draining).await
}

async fn follow(
    engine: Engine,
    ctx: Ctx,
    (devbox, id): (String, String),
    query: wire::Offset,
    stream: Stream,
    draining: Draining,
) -> Result<Response, Refused> {
    let found = executions::of(&engine, &ctx, &devbox, &id).await?;
    let offset = match query.offset.as_deref() {
        None | Some("") => 0,
        Some(text) => text
            .parse()
            .map_err(|error| Refused::invalid("offset", error))?,
    };
    let reader = engine
        .stream_reader(&ctx, &found.id, stream, offset)
        .await?;
    let following = Following {
        reader,
        decoder: TextDecoder::default(),
        offset,
        over: false,
    };
    let events = events(following, draining);
    // It ends by itself when the server does, with an event that says so.
    Ok(sse::respond_with(events, Draining::default(), PING, "ping"))
}

struct Following {
    reader: OutputReader,
    decoder: TextDecoder,
    /// Bytes that were read.
    offset: u64,
    over: bool,
}

fn events(following: Following, draining: Draining) -> impl Events<Item = Event> + Send {
    futures::stream::unfold((following, draining), |(mut following, draining)| async {
        if following.over {
            return None;
        }
        let event = tokio::select! {
            event = following.next() => event?,
            () = draining.wait_owned() => {
                following.over = true;
                error(COME_BACK, "the server is shutting down")
            }
        };
        Some((event, (following, draining)))
    })
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.text().await {
                Ok(Some(text)) if text.is_empty() => {}
                Ok(Some(output)) => return Some(self.update(output)),
                Ok(None) => {
                    self.over = true;
                    let rest = self.decoder.finish()?;
                    return Some(self.update(rest));
                }
                Err(broken) => {
                    self.over = true;
                    let status = status_of(broken.code()).as_u16();
                    return Some(error(status, broken.message()));
                }
            }
        }
    }

    /// The next text; `None` at the end.
    async fn text(&mut self) -> Outcome<Option<String>> {
        let Some(record) = self.reader.next().await? else {
            return Ok(None);
        };
        let RecordBody::Output { bytes, .. } = record.body else {
            return Ok(Some(String::new()));
        };
        self.offset += bytes.len() as u64;
        Ok(Some(self.decoder.push(&bytes)))
    }

    fn update(&self, output: String) -> Event {
        let update = wire::Update {
            output,
            // Where the next reader begins: before a character that is not whole.
            offset: self.offset - self.decoder.held_bytes() as u64,
        };
        Event::ascii_json("", None, &update).expect("texts and numbers are plain data")
    }
}

pub(super) fn error(status: u16, message: &str) -> Event {
    let data = json!({ "code": status, "message": message });
    Event::ascii_json("error", None, &data).expect("texts and numbers are plain data")
}
