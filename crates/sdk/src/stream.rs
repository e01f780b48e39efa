//! A command's output, or a run's events, as they come: resumed after every dropped connection from
//! the last record seen, so that nothing is missing and nothing comes twice.

use std::fmt;
use std::time::Duration;

use futures::Stream;
use pinfold_wire::{BuildEvent, CodeEvent, PipelineEvent, Record, StreamName, StreamQuery};
use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry;
use crate::sse::Parser;

/// Connections in a row that bring no record. With the pauses between them this outlasts the
/// restart of a server.
const BARREN_CONNECTIONS_MAX: u32 = 12;
/// Three missed heartbeats: the connection is dead even if nobody said so.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Which part of a journal to stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Begin behind this record; 0 is from the start.
    pub after_seq: u64,
    /// Only output of this stream.
    pub stream: Option<StreamName>,
}

/// The records of one command, up to and including its end.
pub type CommandStream = EventStream<Record>;
/// The events of one run of code, up to and including its end.
pub type CodeStream = EventStream<CodeEvent>;
/// The events of one run of a pipeline, up to and including its end.
pub type PipelineStream = EventStream<PipelineEvent>;

/// The events of one build, up to and including its end.
pub type BuildStream = EventStream<BuildEvent>;

/// What such a stream is made of: numbers that grow from 1, and a last one.
pub trait Numbered: DeserializeOwned + Send + fmt::Debug {
    /// Names of the server-sent events.
    const NAMES: &'static [&'static str];
    /// Numbers are left out by right.
    const HAS_GAPS: bool = false;

    fn number(&self) -> u64;
    fn is_last(&self) -> bool;
}

impl Numbered for Record {
    const NAMES: &'static [&'static str] = &["output", "truncated", "end"];

    fn number(&self) -> u64 {
        self.seq()
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::End { .. })
    }
}

impl Numbered for CodeEvent {
    const NAMES: &'static [&'static str] = &[
        "begun",
        "stdout",
        "stderr",
        "truncated",
        "output",
        "raised",
        "complete",
    ];

    fn number(&self) -> u64 {
        self.seq()
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Complete { .. })
    }
}

impl Numbered for PipelineEvent {
    const NAMES: &'static [&'static str] =
        &["step_started", "output", "truncated", "step_ended", "ended"];
    const HAS_GAPS: bool = true;

    fn number(&self) -> u64 {
        self.seq()
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

impl Numbered for BuildEvent {
    const NAMES: &'static [&'static str] =
        &["step_started", "output", "truncated", "step_ended", "ended"];
    const HAS_GAPS: bool = true;

    fn number(&self) -> u64 {
        self.seq()
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// A stream that survives its connections.
#[derive(Debug)]
pub struct EventStream<T> {
    client: Client,
    /// The path below `/v1`.
    segments: Vec<String>,
    options: StreamOptions,
    connection: Option<Connection<T>>,
    /// Connections in a row that brought nothing.
    barren: u32,
    ended: bool,
}

#[derive(Debug)]
struct Connection<T> {
    response: Response,
    parser: Parser,
    /// Parsed and not yet handed out, in reverse order. Bounded by one chunk of the connection.
    ready: Vec<T>,
}

impl<T: Numbered> EventStream<T> {
    pub(crate) fn new(client: Client, segments: &[&str], options: StreamOptions) -> Self {
        Self {
            client,
            segments: segments.iter().copied().map(str::to_owned).collect(),
            options,
            connection: None,
            barren: 0,
            ended: false,
        }
    }

    /// The last record handed out; a stream begun with it as `after_seq` continues here.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.options.after_seq
    }

    /// The next record, or `None` behind the last. Can be called again after an error.
    ///
    /// # Errors
    /// What the server refuses with at once; a lost connection only after a dozen tries in a row
    /// that brought nothing.
    pub async fn next(&mut self) -> Result<Option<T>> {
        if self.ended {
            return Ok(None);
        }
        loop {
            match self.attempt().await {
                Ok(record) => {
                    self.barren = 0;
                    self.options.after_seq = record.number();
                    self.ended = record.is_last();
                    if self.ended {
                        self.connection = None;
                    }
                    return Ok(Some(record));
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// The same as a `futures` stream; it ends after its first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<T>> + Send {
        futures::stream::try_unfold(self, |mut stream| async move {
            let record = stream.next().await?;
            Ok(record.map(|record| (record, stream)))
        })
    }

    async fn attempt(&mut self) -> Result<T> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.client, &self.segments, &self.options).await?),
        };
        connection.next(self.client.url(), &self.options).await
    }

    /// Waits before the next connection, or gives the error up.
    async fn recover(&mut self, error: Error) -> Result<()> {
        self.connection = None;
        let final_refusal = match &error {
            Error::Api(api) => !matches!(api.status, 429 | 500..),
            Error::Connect { .. }
            | Error::Timeout { .. }
            | Error::Broken { .. }
            | Error::Protocol(_) => false,
            _ => true,
        };
        if final_refusal || self.barren >= BARREN_CONNECTIONS_MAX {
            return Err(error);
        }
        let asked = error.api().and_then(|api| api.retry_after);
        // A connection that was merely cut is made again at once the first time.
        let pause = match (self.barren, asked) {
            (_, Some(after)) => after.min(Duration::from_secs(60)),
            (0, None) => Duration::ZERO,
            (n, None) => retry::jittered(n),
        };
        self.barren += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

async fn connect<T>(
    client: &Client,
    segments: &[String],
    options: &StreamOptions,
) -> Result<Connection<T>> {
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let query = StreamQuery {
        after_seq: Some(options.after_seq),
        stream: options.stream,
    };
    let call = client.get(&segments).query(&query)?.unbounded();
    let sent = client.send_once(&call);
    let response = match tokio::time::timeout(SILENCE_MAX, sent).await {
        Ok(response) => response?,
        Err(_) => return Err(silent(client.url())),
    };
    Ok(Connection {
        response,
        parser: Parser::default(),
        ready: Vec::new(),
    })
}

impl<T: Numbered> Connection<T> {
    async fn next(&mut self, url: &str, options: &StreamOptions) -> Result<T> {
        loop {
            if let Some(record) = self.ready.pop() {
                if record.number() <= options.after_seq {
                    continue;
                }
                // Numbers are left out by right with a filter, and before the end of a command whose
                // output is no longer kept.
                let gapless = !T::HAS_GAPS && options.stream.is_none() && !record.is_last();
                if gapless && record.number() != options.after_seq + 1 {
                    return Err(Error::Protocol(format!(
                        "record {} came after record {}",
                        record.number(),
                        options.after_seq
                    )));
                }
                return Ok(record);
            }
            let chunk = match tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(broken(url, "the stream closed before its end")),
                Ok(Err(error)) => return Err(broken(url, error.without_url())),
                Err(_) => return Err(silent(url)),
            };
            let events = self
                .parser
                .push(&chunk)
                .map_err(|error| Error::Protocol(error.to_string()))?;
            for event in events.into_iter().rev() {
                if T::NAMES.contains(&&*event.name) {
                    self.ready.push(decoded(&event.data)?);
                }
            }
        }
    }
}

fn decoded<T: Numbered>(data: &str) -> Result<T> {
    serde_json::from_str(data).map_err(|source| Error::Decode {
        what: "a record of the stream".into(),
        source,
    })
}

fn broken(url: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Broken {
        url: url.to_owned(),
        source: why.into(),
    }
}

fn silent(url: &str) -> Error {
    Error::Timeout {
        url: url.to_owned(),
        after: SILENCE_MAX,
    }
}
