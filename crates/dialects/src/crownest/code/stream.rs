//! A run of code as a stream of its events. The last one, `complete`, holds the whole result; a
//! stream without it broke off, and the same request with the same key takes it up from its
//! beginning.

use std::collections::VecDeque;

use axum::extract::State;
use axum::response::Response;
use futures::Stream;
use pinfold_engine::{CodeError, CodeEvent, CodeReader, Engine};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, IdempotencyKey, Json, Path};
use pinfold_model::{CommandId, Ctx, Error};

use super::outputs::Outputs;
use crate::crownest::errors::{Refused, shown_word};
use crate::crownest::{from_wire, ids, to_wire, wire};

pub(in crate::crownest) async fn stream(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    draining: Draining,
    Json(request): Json<wire::RunCode>,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::run_code(request)?;
    let keeps = request.keeps;
    let started = engine
        .start_code(&ctx, &sandbox, request, key.as_deref())
        .await?;
    let id = started.value.id;
    let reader = engine.code_events(&ctx, &id, 0).await?;
    let following = Following {
        engine,
        ctx,
        reader: Some(reader),
        outputs: Some(Outputs::new(&id, keeps)),
        id,
        error: None,
        ready: VecDeque::new(),
    };
    Ok(sse::respond(events(following), draining))
}

struct Following {
    engine: Engine,
    ctx: Ctx,
    id: CommandId,
    /// `None` once the last event was given.
    reader: Option<CodeReader>,
    /// `None` once they are in the result.
    outputs: Option<Outputs>,
    /// What the code raised: its name depends on how the run ended, which is told next.
    error: Option<CodeError>,
    /// Events to give before the next is read.
    ready: VecDeque<wire::CodeEvent>,
}

fn events(following: Following) -> impl Stream<Item = Event> + Send {
    futures::stream::unfold(following, |mut following| async {
        let event = following.next().await?;
        Some((encoded(&event), following))
    })
}

impl Following {
    async fn next(&mut self) -> Option<wire::CodeEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let reader = self.reader.as_mut()?;
            let read = match reader.next().await {
                Ok(Some((_, event))) => self.take(event).await,
                Ok(None) => return None,
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                self.reader = None;
                self.ready.push_back(broken(&error));
            }
        }
    }

    async fn take(&mut self, event: CodeEvent) -> Result<(), Error> {
        match event {
            CodeEvent::Stdout(text) => self.ready.push_back(wire::CodeEvent::Stdout(text)),
            CodeEvent::Stderr(text) => self.ready.push_back(wire::CodeEvent::Stderr(text)),
            CodeEvent::Output(output) => {
                if let Some(outputs) = &mut self.outputs {
                    let shown = outputs.take(&self.engine, &self.ctx, output).await?;
                    let shown = shown.iter().cloned().map(wire::CodeEvent::Output);
                    self.ready.extend(shown);
                }
            }
            CodeEvent::Error(error) => self.error = Some(error),
            CodeEvent::Complete(_) => self.complete().await?,
            // The result tells of both.
            CodeEvent::Begun { .. } | CodeEvent::Truncated => {}
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        // The interpreter's last word comes before the end of the run's own process.
        self.engine.wait_command(&self.ctx, &self.id, None).await?;
        let run = self.engine.get_code_run(&self.ctx, &self.id).await?;
        if let Some(error) = to_wire::code_error(self.error.take(), run.state) {
            self.ready.push_back(wire::CodeEvent::Error(error));
        }
        let outputs = self.outputs.take().map(Outputs::shown).unwrap_or_default();
        let whole = Box::new(to_wire::code_run(run, outputs));
        self.ready.push_back(wire::CodeEvent::Complete(whole));
        self.reader = None;
        Ok(())
    }
}

/// The server's own failure, in the form in which the vendor's clients look for one.
fn broken(error: &Error) -> wire::CodeEvent {
    tracing::warn!(code = %error.code(), "a stream of a run of code broke off");
    wire::CodeEvent::Error(wire::CodeError {
        name: shown_word(error).as_str().to_owned(),
        message: error.message().to_owned(),
        traceback: Vec::new(),
    })
}

fn encoded(event: &wire::CodeEvent) -> Event {
    let name = match event {
        wire::CodeEvent::Stdout(_) => "stdout",
        wire::CodeEvent::Stderr(_) => "stderr",
        wire::CodeEvent::Output(_) => "output",
        wire::CodeEvent::Error(_) => "error",
        wire::CodeEvent::Complete(_) => "complete",
    };
    Event::ascii_json(name, None, event).expect("events are plain data")
}
