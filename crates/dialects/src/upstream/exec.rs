//! Running a command, to its end or as a stream of events. Whoever hangs up ends it.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream;
use pinfold_engine::{Attended, Engine, TextDecoder};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Draining, Failure, IdempotencyKey, Json, Path};
use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{Code, Error, Result as Outcome};

use super::{Account, errors, from_wire, to_wire, wire};

/// Bytes of each stream in one answer; more is an error, and for the other kind of exec.
const OUTPUT_MAX_BYTES: usize = 16 << 20;
/// Silence is broken after this long.
const PING: Duration = Duration::from_secs(5);

pub(super) async fn exec(
    State(engine): State<Engine>,
    Account(ctx): Account,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    draining: Draining,
    Json(request): Json<wire::Exec>,
) -> Result<Response, Failure> {
    let sandbox = from_wire::sandbox_id(&sandbox)?;
    let spec = from_wire::command(&request)?;
    let command = engine.attend_command(&ctx, &sandbox, spec, key.as_deref());
    let command = command.await?;
    if request.stream {
        let events = stream::unfold(Some(Events::new(command)), next);
        return Ok(sse::respond_with(events, draining, PING, "ping"));
    }
    whole(command, draining).await
}

/// The whole output, unless the server goes first: then the command goes too.
async fn whole(command: Attended, draining: Draining) -> Result<Response, Failure> {
    let output = std::pin::pin!(command.output(OUTPUT_MAX_BYTES));
    let drained = std::pin::pin!(draining.wait_owned());
    match futures::future::select(output, drained).await {
        futures::future::Either::Left((output, _)) => {
            Ok(Json(to_wire::executed(&output?)).into_response())
        }
        futures::future::Either::Right(_) => Err(Error::new(
            Code::Unavailable,
            "the server is shutting down, and the command was ended",
        )
        .into()),
    }
}

/// The events of one command.
struct Events {
    command: Attended,
    stdout: TextDecoder,
    stderr: TextDecoder,
    /// What is ready to be sent, in reverse order.
    ready: Vec<Event>,
    ended: bool,
}

impl Events {
    fn new(command: Attended) -> Self {
        Self {
            command,
            stdout: TextDecoder::default(),
            stderr: TextDecoder::default(),
            ready: Vec::new(),
            ended: false,
        }
    }

    async fn fill(&mut self) {
        while self.ready.is_empty() && !self.ended {
            let taken = match self.command.next().await {
                Ok(record) => self.take(record).await,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                self.ended = true;
                self.ready = vec![broken(&error)];
            }
        }
    }

    async fn take(&mut self, record: Option<Record>) -> Outcome<()> {
        match record.map(|record| record.body) {
            Some(RecordBody::Output { stream, bytes }) => {
                let text = match stream {
                    Stream::Stdout => self.stdout.push(&bytes),
                    Stream::Stderr => self.stderr.push(&bytes),
                };
                self.ready.extend(written(stream, Some(text)));
                Ok(())
            }
            Some(RecordBody::Truncated) => Err(Error::new(
                Code::BodyTooLarge,
                "the command wrote more than is kept of one command, and was ended",
            )),
            Some(RecordBody::End { .. }) | None => {
                let (exit_code, duration_ms) = to_wire::ending(&self.command.ended().await?);
                let exit = wire::Exit {
                    exit_code,
                    duration_ms,
                };
                self.ended = true;
                self.ready.push(json("exit", &exit));
                self.ready
                    .extend(written(Stream::Stderr, self.stderr.finish()));
                self.ready
                    .extend(written(Stream::Stdout, self.stdout.finish()));
                Ok(())
            }
        }
    }
}

/// Dropped with the connection, and with it the command.
async fn next(events: Option<Events>) -> Option<(Event, Option<Events>)> {
    let mut events = events?;
    events.fill().await;
    let event = events.ready.pop()?;
    Some((event, Some(events)))
}

fn written(stream: Stream, text: Option<String>) -> Option<Event> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(json(stream.as_str(), &wire::Text { text }))
}

fn broken(error: &Error) -> Event {
    let (status, error) = errors::described(error);
    let status = status.as_u16();
    json("error", &wire::StreamError { error, status })
}

fn json(name: &'static str, data: &impl serde::Serialize) -> Event {
    Event::json(name, None, data).expect("texts and numbers are plain data")
}
