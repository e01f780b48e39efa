//! A terminal's WebSocket: every frame of a client is typed, every frame to it is what the terminal
//! shows.
//!
//! Each frame waits for the side that takes it, so neither a fast program nor a fast client fills
//! memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use pinfold_engine::{AttachedTerminal, Engine, TerminalInput};
use pinfold_http::Draining;
use pinfold_model::journal::RecordBody;

use super::admitted::Admitted;

/// One frame of a client: typing and pasting, not files.
pub(super) const FRAME_MAX_BYTES: usize = 1 << 20;
/// Finds a client that vanished, and a token that holds no longer.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may take to read a frame; nobody else attaches meanwhile.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// The last line of a terminal that wrote more than is kept.
const FULL: &[u8] =
    b"\r\n[This terminal has written more than is kept and cannot be shown any further: close it, and \
      connect to it again.]\r\n";

/// Why a client is no longer shown the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The vendor's code for the end of the shell.
    ShellEnded,
    TokenEnded,
    Draining,
    /// It wrote more than is kept, so nobody can be shown more.
    Full,
    Failed,
    /// Nobody is there to be told.
    Gone,
}

impl Over {
    const fn frame(self) -> Option<(u16, &'static str)> {
        match self {
            Self::ShellEnded => Some((4000, "the shell has ended")),
            Self::TokenEnded => Some((1008, "the token holds no longer")),
            Self::Draining => Some((1001, "the server is shutting down")),
            Self::Full => Some((1011, "the terminal wrote more than is kept")),
            Self::Failed => Some((1011, "the terminal cannot be shown")),
            Self::Gone => None,
        }
    }
}

type Sink = SplitSink<WebSocket, Message>;

/// A terminal that somebody is shown.
pub(super) struct Shown {
    pub(super) engine: Engine,
    pub(super) admitted: Admitted,
    pub(super) attached: AttachedTerminal,
}

impl Shown {
    pub(super) async fn serve(mut self, socket: WebSocket, draining: Draining) {
        let (mut sink, stream) = socket.split();
        let input = self.attached.input();
        let heard = Heard::new();
        let over = tokio::select! {
            over = self.show(&mut sink, &heard) => over,
            () = type_in(stream, input, &heard) => Over::Gone,
            () = draining.wait_owned() => Over::Draining,
        };
        // Others may attach from here on.
        drop(self);
        if let Some((code, reason)) = over.frame() {
            let reason = reason.into();
            let _ = send(&mut sink, Message::Close(Some(CloseFrame { code, reason }))).await;
        }
    }

    async fn show(&mut self, sink: &mut Sink, heard: &Heard) -> Over {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.reset();
        loop {
            // Waiting for a record can be given up and begun again without losing one.
            let record = tokio::select! {
                record = self.attached.next() => record,
                _ = ping.tick() => {
                    if !self.admitted.holds(&self.engine).await {
                        return Over::TokenEnded;
                    }
                    let answered = heard.since_last();
                    if !answered || !send(sink, Message::Ping(Vec::new().into())).await {
                        return Over::Gone;
                    }
                    continue;
                }
            };
            let bytes = match record {
                Ok(Some(record)) => match record.body {
                    RecordBody::Output { bytes, .. } => bytes,
                    RecordBody::Truncated => {
                        // It is told again to whoever attaches after this.
                        let _ = send(sink, Message::Binary(FULL.into())).await;
                        return Over::Full;
                    }
                    RecordBody::End { .. } => return Over::ShellEnded,
                },
                Ok(None) => return Over::ShellEnded,
                Err(error) => {
                    tracing::warn!(%error, "a terminal cannot be shown");
                    return Over::Failed;
                }
            };
            if !send(sink, Message::Binary(bytes.into())).await {
                return Over::Gone;
            }
        }
    }
}

/// Whether the client is there.
struct Heard {
    /// A frame came.
    frame: AtomicBool,
    /// A frame waits for the shell to read it, so none behind it is looked at, answers to pings neither.
    busy: AtomicBool,
}

impl Heard {
    fn new() -> Self {
        Self {
            frame: AtomicBool::new(true),
            busy: AtomicBool::new(false),
        }
    }

    /// Since this was asked before; yes while that cannot be told.
    fn since_last(&self) -> bool {
        // In this order: whoever stops being busy was heard before.
        let busy = self.busy.load(Ordering::Acquire);
        self.frame.swap(false, Ordering::AcqRel) || busy
    }
}

/// Whether the client has taken it.
async fn send(sink: &mut Sink, message: Message) -> bool {
    let sent = tokio::time::timeout(TAKEN_WITHIN, sink.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

/// Types what frames hold until the client is gone. Behind the end of the shell it is dropped, as a
/// terminal would.
async fn type_in(mut stream: SplitStream<WebSocket>, input: TerminalInput, heard: &Heard) {
    while let Some(Ok(message)) = stream.next().await {
        heard.busy.store(true, Ordering::Release);
        let typed = match message {
            Message::Binary(bytes) => input.write(&bytes).await,
            Message::Text(text) => input.write(text.as_bytes()).await,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        };
        heard.frame.store(true, Ordering::Release);
        heard.busy.store(false, Ordering::Release);
        if let Err(error) = typed {
            tracing::debug!(%error, "what was typed has no reader");
        }
    }
}
