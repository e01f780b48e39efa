//! Commands and what they read and write.

use std::time::Duration;

use bytes::Bytes;
use pinfold_wire::{
    CancelCommand, CancelMode, Command, ListCommands, LogPage, LogsQuery, OutputQuery, Page,
    PtyQuery, RunResult, SignalCommand, StartCommand, StreamName, WaitQuery, WindowSize, bound,
};
use reqwest::Method;

use crate::body::{ByteStream, Upload};
use crate::client::Client;
use crate::error::Result;
use crate::pty::Pty;
use crate::stream::{CommandStream, StreamOptions};
use crate::transport::milliseconds;

/// Beyond the server's own bound on one long poll.
const LONG_POLL_TIMEOUT: Duration = Duration::from_millis(bound::WAIT_MAX_MS + 15_000);

/// Which raw output to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// Both streams as written when `None`.
    pub stream: Option<StreamName>,
    /// Stay until the command ends.
    pub follow: bool,
}

#[derive(Debug, Clone)]
pub struct Commands {
    client: Client,
}

impl Commands {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Starts a command and answers at once. Tried again where that is safe, under an idempotency
    /// key of its own: one process comes of it.
    pub async fn start(&self, sandbox_id: &str, request: &StartCommand) -> Result<Command> {
        self.start_named(sandbox_id, request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn start_named(
        &self,
        sandbox_id: &str,
        request: &StartCommand,
        idempotency_key: Option<&str>,
    ) -> Result<Command> {
        let segments = ["sandboxes", sandbox_id, "commands"];
        let call = self.client.call(Method::POST, &segments).json(request)?;
        self.client.fetch(call.named(idempotency_key)).await
    }

    /// Runs a command to its end and answers with the beginning of its output (1 MiB a stream).
    /// However long it runs: a dropped connection is made again and waits on.
    pub async fn run(&self, sandbox_id: &str, request: &StartCommand) -> Result<RunResult> {
        let segments = ["sandboxes", sandbox_id, "run"];
        let call = self.client.call(Method::POST, &segments).json(request)?;
        self.client
            .fetch(call.named(None).patient().unbounded())
            .await
    }

    pub async fn get(&self, id: &str) -> Result<Command> {
        self.client.fetch(self.client.get(&["commands", id])).await
    }

    /// One page of a sandbox's commands, newest first.
    pub async fn list(&self, sandbox_id: &str, query: &ListCommands) -> Result<Page<Command>> {
        let call = self.client.get(&["sandboxes", sandbox_id, "commands"]);
        self.client.fetch(call.query(query)?).await
    }

    /// Asks the command to end: TERM or KILL to everything it started.
    pub async fn cancel(&self, id: &str, mode: CancelMode) -> Result<Command> {
        let call = self.client.repeatable_post(&["commands", id, "cancel"]);
        self.client.fetch(call.json(&CancelCommand { mode })?).await
    }

    /// Waits for the end of the command, however long that takes.
    pub async fn wait(&self, id: &str) -> Result<Command> {
        loop {
            let command = self
                .wait_at_most(id, Duration::from_millis(bound::WAIT_MAX_MS))
                .await?;
            // The time too: a newer server may have endings that this client has no word for.
            if command.state.is_terminal() || command.ended_at.is_some() {
                return Ok(command);
            }
        }
    }

    /// The command when it has ended or after `timeout` (at most a minute), whichever is first.
    pub async fn wait_at_most(&self, id: &str, timeout: Duration) -> Result<Command> {
        let query = WaitQuery {
            timeout_ms: Some(milliseconds(timeout).min(bound::WAIT_MAX_MS)),
        };
        let call = self.client.get(&["commands", id, "wait"]).query(&query)?;
        self.client
            .fetch(call.patient().timeout(LONG_POLL_TIMEOUT))
            .await
    }

    /// A page of its journal.
    pub async fn logs(&self, id: &str, query: &LogsQuery) -> Result<LogPage> {
        let call = self.client.get(&["commands", id, "logs"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Its journal as it grows, up to its end. Connects with the first `next`.
    #[must_use]
    pub fn stream(&self, id: &str, options: StreamOptions) -> CommandStream {
        CommandStream::new(self.client.clone(), &["commands", id, "stream"], options)
    }

    /// Its output as raw bytes.
    pub async fn output(&self, id: &str, options: OutputOptions) -> Result<ByteStream> {
        let query = OutputQuery {
            stream: options.stream,
            follow: Some(options.follow),
        };
        let call = self.client.get(&["commands", id, "output"]).query(&query)?;
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// Writes to its stdin; answers when the command's pipe has taken everything. Never repeated
    /// where a part may have arrived.
    pub async fn write_stdin(&self, id: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let call = self.client.call(Method::POST, &["commands", id, "stdin"]);
        self.client
            .done(call.bytes(bytes.into()).once().unbounded())
            .await
    }

    /// Writes whatever comes to its stdin.
    pub async fn stream_stdin(&self, id: &str, source: Upload) -> Result<()> {
        let call = self.client.call(Method::POST, &["commands", id, "stdin"]);
        let call = call.once().unbounded();
        match source.into_body() {
            Ok(bytes) => self.client.done(call.bytes(bytes)).await,
            Err(body) => self.client.send_stream(call, body).await.map(drop),
        }
    }

    /// The command reads end of file behind what was written.
    pub async fn close_stdin(&self, id: &str) -> Result<()> {
        let segments = ["commands", id, "stdin", "close"];
        self.client
            .done(self.client.repeatable_post(&segments))
            .await
    }

    /// Changes the size of its terminal.
    pub async fn resize(&self, id: &str, size: WindowSize) -> Result<()> {
        let call = self.client.repeatable_post(&["commands", id, "resize"]);
        self.client.done(call.json(&size)?).await
    }

    /// Sends a signal by name or number to everything it started.
    pub async fn signal(&self, id: &str, signal: &str) -> Result<()> {
        let signal = signal.to_owned();
        let call = self.client.call(Method::POST, &["commands", id, "signal"]);
        self.client
            .done(call.json(&SignalCommand { signal })?)
            .await
    }

    /// Opens a terminal in a sandbox, or attaches to that of a command.
    pub async fn pty(&self, sandbox_id: &str, query: &PtyQuery) -> Result<Pty> {
        Pty::open(&self.client, sandbox_id, query).await
    }
}
