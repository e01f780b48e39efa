//! A command's stream: log chunks after some number, heartbeats while it is silent, its terminal
//! record, the end.
//!
//! The SDK reads two line feeds as the end of an event, and cuts events at whatever Python calls a
//! line break; so events are ASCII. It comes back after a break with the last number it has seen.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures::Stream;
use pinfold_engine::{Engine, TextReader};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Path, Query};
use pinfold_model::{CommandId, Ctx, Error, Time};
use tokio::time::timeout;

use super::commands::RECORD;
use super::errors::{Refused, shown_word};
use super::{ids, to_wire, wire};

/// Silence is broken after this long.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub(super) async fn follow(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::Logs>,
    draining: Draining,
) -> Result<Response, Refused> {
    let id = ids::command(&id)?;
    let after = query.after_seq.unwrap_or(0);
    let reader = engine.text_reader(&ctx, &id, after).await?;
    let following = Following {
        engine,
        ctx,
        id,
        stage: Stage::Output(Box::new(reader)),
    };
    Ok(sse::respond(events(following), draining))
}

struct Following {
    engine: Engine,
    ctx: Ctx,
    id: CommandId,
    stage: Stage,
}

enum Stage {
    Output(Box<TextReader>),
    /// All output was given; the end is about to be known.
    Ending,
    Over,
}

fn events(following: Following) -> impl Stream<Item = Event> + Send {
    futures::stream::unfold(following, |mut following| async {
        let event = following.next().await?;
        Some((encoded(&event), following))
    })
}

impl Following {
    async fn next(&mut self) -> Option<wire::StreamEvent> {
        let step = match &mut self.stage {
            Stage::Over => return None,
            Stage::Output(reader) => match timeout(HEARTBEAT, reader.next()).await {
                Err(_) => return Some(heartbeat()),
                Ok(Ok(Some(chunk))) => return Some(to_wire::log_event(chunk)),
                Ok(Ok(None)) => Ok(()),
                Ok(Err(error)) => Err(error),
            },
            Stage::Ending => Ok(()),
        };
        self.stage = Stage::Ending;
        let terminal = match step {
            Ok(()) => timeout(HEARTBEAT, self.terminal()).await,
            Err(error) => Ok(Err(error)),
        };
        let last = match terminal {
            Err(_) => return Some(heartbeat()),
            Ok(Ok(event)) => event,
            Ok(Err(error)) => broken(&error),
        };
        self.stage = Stage::Over;
        Some(last)
    }

    async fn terminal(&self) -> Result<wire::StreamEvent, Error> {
        let ended = self
            .engine
            .ended_output(&self.ctx, &self.id, RECORD)
            .await?;
        Ok(wire::StreamEvent::Terminal {
            created_at: to_wire::time(ended.command.ended_at.unwrap_or_else(Time::now)),
            command: Box::new(to_wire::command_with_output(ended)),
        })
    }
}

fn heartbeat() -> wire::StreamEvent {
    wire::StreamEvent::Heartbeat {
        created_at: to_wire::time(Time::now()),
    }
}

fn broken(error: &Error) -> wire::StreamEvent {
    tracing::warn!(code = %error.code(), "a stream of output broke off");
    wire::StreamEvent::Error {
        created_at: to_wire::time(Time::now()),
        code: shown_word(error).as_str(),
        message: error.message().to_owned(),
    }
}

fn encoded(event: &wire::StreamEvent) -> Event {
    let name = match event {
        wire::StreamEvent::Log { .. } => "log",
        wire::StreamEvent::Heartbeat { .. } => "heartbeat",
        wire::StreamEvent::Terminal { .. } => "terminal",
        wire::StreamEvent::Error { .. } => "error",
    };
    Event::ascii_json(name, None, event).expect("events are plain data")
}
