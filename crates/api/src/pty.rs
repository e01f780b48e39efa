//! Terminals over WebSocket: binary frames are terminal bytes, text frames are control messages.
//!
//! ```text
//! client --binary--> input            output --binary--> client      (one task, two directions)
//! client --text----> resize, signal   ready, position, truncated, exit, error --text--> client
//! ```
//! Each frame waits for the side that takes it, so neither a fast program nor a fast client fills
//! memory. The socket closes behind `exit`, when the client goes, or when the server drains.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, UPGRADE};
use axum::response::Response;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use pinfold_engine::{OpenTerminal, OutputReader, Terminal, TerminalInput};
use pinfold_http::{Caller, Draining, Failure, Path, Query, RequestTag};
use pinfold_model::journal::{Record, RecordBody};
use pinfold_model::{
    Code, Command, CommandId, Ctx, Error, Program, Result, SandboxId, WindowSize, signal,
};
use pinfold_wire as wire;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::command as convert;
use crate::state::Api;
use crate::{ids, render};

/// One frame of a client: typing and pasting, not files.
const FRAME_MAX_BYTES: usize = 1 << 20;
/// Finds a client that vanished, and keeps proxies from closing a quiet terminal.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Errors of single messages that may wait for the client.
const COMPLAINTS_MAX: usize = 16;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(open_pty))
}

/// Opens a terminal, or attaches to that of a command, over WebSocket. Binary frames are terminal
/// bytes both ways; text frames are JSON: the client says `resize` and `signal`, the server `ready`
/// (first), `position`, `truncated`, `error` and `exit` (last). When the client goes, the command
/// stays: attach again with `command_id` and the last `position` as `after_seq`.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/pty", tag = "terminals",
    params(("sandbox_id" = String, Path), wire::PtyQuery),
    responses((status = 101, description = "a WebSocket from here on")))]
async fn open_pty(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::PtyQuery>,
    tag: RequestTag,
    draining: Draining,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> std::result::Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    // Who may not see the sandbox learns nothing from what else is wrong.
    api.engine.get_sandbox(&ctx, &sandbox).await?;
    let upgrade = upgrade.map_err(not_a_websocket)?;
    let (command, terminal) = terminal(&api, &ctx, &sandbox, query).await?;
    let session = Session {
        api,
        ctx,
        command: command.id.clone(),
        shown: tag.shown,
    };
    Ok(upgrade
        .max_message_size(FRAME_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .on_upgrade(move |socket| session.serve(socket, command, terminal, draining)))
}

fn not_a_websocket(rejection: WebSocketUpgradeRejection) -> Failure {
    let text = format!("this route speaks WebSocket: {}", rejection.body_text());
    Failure::from(Error::invalid("upgrade", text))
        .with_status(StatusCode::UPGRADE_REQUIRED)
        .with_header(UPGRADE, HeaderValue::from_static("websocket"))
}

async fn terminal(
    api: &Api,
    ctx: &Ctx,
    sandbox: &SandboxId,
    query: wire::PtyQuery,
) -> Result<(Command, Terminal), Failure> {
    let size = window(&query)?;
    let Some(id) = query.command_id else {
        let request = OpenTerminal {
            program: query.command.map(Program::Shell),
            size: size.unwrap_or_default(),
            cwd: query.cwd,
            user: query.user,
            env: [("TERM".to_owned(), "xterm-256color".to_owned())].into(),
        };
        let opened = api
            .engine
            .open_terminal(ctx, sandbox, request, None)
            .await?;
        let terminal = api.engine.attach_terminal(ctx, &opened.value.id, 0).await?;
        return Ok((opened.value, terminal));
    };
    if query.command.is_some() {
        return Err(Error::invalid("command", "give command or command_id, not both").into());
    }
    let id = ids::command(&id)?;
    let command = api.engine.get_command(ctx, &id).await?;
    if command.sandbox != *sandbox {
        return Err(Error::new(Code::CommandNotFound, "there is no such command here").into());
    }
    let after = query.after_seq.unwrap_or(0);
    let terminal = api.engine.attach_terminal(ctx, &id, after).await?;
    if let Some(size) = size
        && !command.state.is_terminal()
    {
        terminal.input.resize(size).await?;
    }
    Ok((command, terminal))
}

/// The size the caller names; a side it leaves out is the usual one.
fn window(query: &wire::PtyQuery) -> Result<Option<WindowSize>> {
    if query.rows.is_none() && query.cols.is_none() {
        return Ok(None);
    }
    let usual = WindowSize::default();
    let size = WindowSize {
        rows: query.rows.unwrap_or(usual.rows),
        cols: query.cols.unwrap_or(usual.cols),
    };
    if size.rows == 0 || size.cols == 0 {
        return Err(Error::invalid(
            "rows",
            "a terminal has at least one row and one column",
        ));
    }
    Ok(Some(size))
}

type Sink = SplitSink<WebSocket, Message>;

/// The client is gone.
struct Gone;

struct Session {
    api: Api,
    ctx: Ctx,
    command: CommandId,
    /// The request's id, for errors.
    shown: String,
}

impl Session {
    async fn serve(self, socket: WebSocket, command: Command, terminal: Terminal, drain: Draining) {
        let (mut sink, stream) = socket.split();
        let (complain, complaints) = mpsc::channel(COMPLAINTS_MAX);
        let ready = wire::PtyServerMessage::Ready {
            command: Box::new(convert::to_wire(command)),
        };
        if say(&mut sink, &ready).await.is_err() {
            return;
        }
        let output = self.send_output(&mut sink, terminal.output, complaints);
        let ended = tokio::select! {
            sent = output => sent,
            () = take_input(stream, terminal.input, complain) => Err(Gone),
            () = drain.wait_owned() => Ok(()),
        };
        if ended.is_ok() {
            // Errors here mean that the client closed first.
            let _ = sink.send(Message::Close(None)).await;
        }
    }

    /// Sends output until the command ends or the client is gone.
    async fn send_output(
        &self,
        sink: &mut Sink,
        mut output: OutputReader,
        mut complaints: mpsc::Receiver<Error>,
    ) -> Result<(), Gone> {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.reset();
        loop {
            // Waiting for a record can be given up and begun again without losing one.
            let record = tokio::select! {
                record = output.next() => record,
                Some(error) = complaints.recv() => {
                    say(sink, &self.error(&error)).await?;
                    continue;
                }
                _ = ping.tick() => {
                    send(sink, Message::Ping(bytes::Bytes::new())).await?;
                    continue;
                }
            };
            match record {
                Ok(Some(record)) => {
                    if self.send_record(sink, record).await? == Progress::Ended {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => return say(sink, &self.error(&error)).await,
            }
        }
    }

    async fn send_record(&self, sink: &mut Sink, record: Record) -> Result<Progress, Gone> {
        let seq = record.seq;
        match record.body {
            RecordBody::Output { bytes, .. } => {
                send(sink, Message::Binary(bytes.into())).await?;
                say(sink, &wire::PtyServerMessage::Position { seq }).await?;
                Ok(Progress::More)
            }
            RecordBody::Truncated => {
                say(sink, &wire::PtyServerMessage::Truncated { seq }).await?;
                Ok(Progress::More)
            }
            RecordBody::End { state } => {
                let last = match self.api.engine.get_command(&self.ctx, &self.command).await {
                    Ok(command) => wire::PtyServerMessage::Exit {
                        command: Box::new(convert::to_wire(Command { state, ..command })),
                    },
                    Err(error) => self.error(&error),
                };
                say(sink, &last).await?;
                Ok(Progress::Ended)
            }
        }
    }

    fn error(&self, error: &Error) -> wire::PtyServerMessage {
        wire::PtyServerMessage::Error {
            error: render::body(error, &self.shown),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Ended,
}

async fn say(sink: &mut Sink, message: &wire::PtyServerMessage) -> Result<(), Gone> {
    let text = serde_json::to_string(message).expect("messages are plain data");
    send(sink, Message::Text(text.into())).await
}

async fn send(sink: &mut Sink, message: Message) -> Result<(), Gone> {
    sink.send(message).await.map_err(|_| Gone)
}

/// Takes frames until the client is gone. Typing behind the end of the command is dropped, as a
/// terminal would; what fails otherwise is told.
async fn take_input(
    mut stream: SplitStream<WebSocket>,
    input: TerminalInput,
    complain: mpsc::Sender<Error>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let done = match message {
            Message::Binary(bytes) => input.write(&bytes).await,
            Message::Text(text) => control(&input, &text).await,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        };
        if let Err(error) = done
            && error.code() != Code::CommandEnded
            && complain.send(error).await.is_err()
        {
            return;
        }
    }
}

async fn control(input: &TerminalInput, text: &str) -> Result<()> {
    let message = serde_json::from_str(text)
        .map_err(|error| Error::invalid("message", format!("a text frame is control: {error}")))?;
    match message {
        wire::PtyClientMessage::Resize { rows, cols } => {
            input.resize(WindowSize { rows, cols }).await
        }
        wire::PtyClientMessage::Signal { signal } => input.signal(signal::parse(&signal)?).await,
    }
}
