//! A terminal over WebSocket.

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use pinfold_wire::{
    Command, ErrorEnvelope, PtyClientMessage, PtyQuery, PtyServerMessage, WindowSize,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::client::Client;
use crate::error::{ApiError, Error, Result};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
/// Frames of the server are far below this.
const FRAME_MAX_BYTES: usize = 16 << 20;

/// What a terminal tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PtyEvent {
    Output(Bytes),
    /// All output up to this record has arrived: to continue later, attach behind it.
    Position(u64),
    /// Output was dropped from here on: the command's cap was reached.
    Truncated,
    /// The command ended; nothing follows.
    Exit(Box<Command>),
}

/// An open terminal. Dropping it leaves the command running; attach again by its id.
#[derive(Debug)]
pub struct Pty {
    command: Command,
    reader: PtyReader,
    writer: PtyWriter,
}

#[derive(Debug)]
pub struct PtyReader {
    socket: SplitStream<Socket>,
    url: String,
    /// The command's end has been told.
    ended: bool,
}

#[derive(Debug)]
pub struct PtyWriter {
    socket: SplitSink<Socket, Message>,
    url: String,
}

impl Pty {
    pub(crate) async fn open(client: &Client, sandbox_id: &str, query: &PtyQuery) -> Result<Self> {
        let socket = connect(client, sandbox_id, query).await?;
        let (sink, stream) = socket.split();
        let url = client.url().to_owned();
        let mut reader = PtyReader {
            socket: stream,
            url: url.clone(),
            ended: false,
        };
        let command = match reader.message().await? {
            Some(Received::Text(PtyServerMessage::Ready { command })) => *command,
            _ => {
                return Err(Error::Protocol(
                    "a terminal did not begin with `ready`".into(),
                ));
            }
        };
        let writer = PtyWriter { socket: sink, url };
        Ok(Self {
            command,
            reader,
            writer,
        })
    }

    /// The command behind the terminal, as it was when the terminal opened.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The next event; `None` after the end.
    pub async fn next(&mut self) -> Result<Option<PtyEvent>> {
        self.reader.next().await
    }

    /// Types.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        self.writer.write(bytes).await
    }

    pub async fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.writer.resize(size).await
    }

    pub async fn signal(&mut self, signal: &str) -> Result<()> {
        self.writer.signal(signal).await
    }

    /// Halves for two tasks.
    #[must_use]
    pub fn split(self) -> (PtyReader, PtyWriter) {
        (self.reader, self.writer)
    }
}

enum Received {
    Bytes(Bytes),
    Text(PtyServerMessage),
}

impl PtyReader {
    /// The next event; `None` after the end.
    ///
    /// # Errors
    /// `Error::Broken` where the connection was lost before the command ended: attach again with
    /// the command's id.
    pub async fn next(&mut self) -> Result<Option<PtyEvent>> {
        if self.ended {
            return Ok(None);
        }
        let Some(received) = self.message().await? else {
            return Err(broken(&self.url, SocketError::ConnectionClosed));
        };
        Ok(Some(match received {
            Received::Bytes(bytes) => PtyEvent::Output(bytes),
            Received::Text(PtyServerMessage::Ready { .. }) => {
                return Err(Error::Protocol("a terminal began twice".into()));
            }
            Received::Text(PtyServerMessage::Position { seq }) => PtyEvent::Position(seq),
            Received::Text(PtyServerMessage::Truncated { .. }) => PtyEvent::Truncated,
            Received::Text(PtyServerMessage::Exit { command }) => {
                self.ended = true;
                PtyEvent::Exit(command)
            }
            Received::Text(PtyServerMessage::Error { error }) => {
                let envelope = ErrorEnvelope { error };
                return Err(Error::Api(Box::new(ApiError::from_envelope(0, envelope))));
            }
        }))
    }

    async fn message(&mut self) -> Result<Option<Received>> {
        while let Some(message) = self.socket.next().await {
            match message.map_err(|error| broken(&self.url, error))? {
                Message::Binary(bytes) => return Ok(Some(Received::Bytes(bytes))),
                Message::Text(text) => {
                    let message = serde_json::from_str(&text);
                    let message = message.map_err(|source| Error::Decode {
                        what: "a message of a terminal".into(),
                        source,
                    })?;
                    return Ok(Some(Received::Text(message)));
                }
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }
}

impl PtyWriter {
    /// Types.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        self.send(Message::Binary(bytes.into())).await
    }

    pub async fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.control(&PtyClientMessage::Resize {
            rows: size.rows,
            cols: size.cols,
        })
        .await
    }

    /// Sends a signal by name or number.
    pub async fn signal(&mut self, signal: &str) -> Result<()> {
        let signal = signal.to_owned();
        self.control(&PtyClientMessage::Signal { signal }).await
    }

    async fn control(&mut self, message: &PtyClientMessage) -> Result<()> {
        let text = serde_json::to_string(message).expect("plain data has a JSON form");
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<()> {
        let sent = self.socket.send(message).await;
        sent.map_err(|error| broken(&self.url, error))
    }
}

async fn connect(client: &Client, sandbox_id: &str, query: &PtyQuery) -> Result<Socket> {
    let call = client.get(&["sandboxes", sandbox_id, "pty"]).query(query)?;
    let mut url = call.url().clone();
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme)
        .expect("ws follows http as wss does https");
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| Error::Config(format!("cannot ask for a terminal: {error}")))?;
    let authorization = client.inner.authorization.clone();
    request.headers_mut().insert("authorization", authorization);
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES));
    match connect_async_with_config(request, Some(config), true).await {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Http(response)) => {
            let status = response.status().as_u16();
            let body = response.into_body().unwrap_or_default();
            Err(Error::Api(Box::new(ApiError::from_body(status, &body))))
        }
        Err(error) => Err(broken(client.url(), error)),
    }
}

fn broken(url: &str, error: SocketError) -> Error {
    Error::Broken {
        url: url.to_owned(),
        source: error.into(),
    }
}
