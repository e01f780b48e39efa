//! Following a command's journal.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{CommandId, Ctx, Error, Result};
use pinfold_runtime::journal::JournalReader;
use tokio::time::Instant;

use super::kept_journal;
use crate::Engine;
use crate::live::LiveCommand;

/// An End is in the journal a moment before the command is said to have ended; after a crash it may take
/// until its sandbox can be reached.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Yields a command's records in order, waiting for more until its End has been given. A reader
/// that begins at the last seq of another misses nothing and repeats nothing. Never delays the
/// command; holds one record of 1 MiB at most. Whoever has been given End finds the command ended.
#[derive(Debug)]
pub struct OutputReader {
    /// `None`: nothing of it is kept.
    journal: Option<JournalReader>,
    after_seq: u64,
    /// One that had not ended when this was made.
    live: Option<Arc<LiveCommand>>,
    /// The End, until the command is said to have ended, and until when that is waited for.
    end: Option<(Record, Instant)>,
}

impl Engine {
    /// Reads what the command wrote after record `after_seq` (0: from the first), and follows it.
    pub async fn reader(&self, ctx: &Ctx, id: &CommandId, after_seq: u64) -> Result<OutputReader> {
        self.timed(ctx, "command.read", async {
            let command = self.any_command(ctx, id).await?;
            let journal = kept_journal(&self.inner.parts.journals, &command)?;
            let journal = journal.map(|journal| journal.reader(after_seq));
            Ok(self.output_reader(id, journal, after_seq))
        })
        .await
    }
}

impl Engine {
    /// Reads one stream of what the command wrote from its byte `offset` on, and follows it.
    pub async fn stream_reader(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        stream: Stream,
        offset: u64,
    ) -> Result<OutputReader> {
        self.timed(ctx, "command.read", async {
            let command = self.any_command(ctx, id).await?;
            let journal = kept_journal(&self.inner.parts.journals, &command)?;
            let journal = journal.map(|journal| journal.stream_reader(stream, offset));
            Ok(self.output_reader(id, journal, 0))
        })
        .await
    }

    fn output_reader(
        &self,
        id: &CommandId,
        journal: Option<JournalReader>,
        after_seq: u64,
    ) -> OutputReader {
        OutputReader {
            journal,
            after_seq,
            live: self.inner.registry.command(id),
            end: None,
        }
    }
}

impl OutputReader {
    /// Leaves the output of the other stream out; marks are given in any case.
    #[must_use]
    pub fn only(mut self, stream: Stream) -> Self {
        self.journal = self.journal.map(|reader| reader.only(stream));
        self
    }

    /// Goes on after End with what background children of the command still write, until all of
    /// them have closed its output.
    #[must_use]
    pub fn past_end(mut self) -> Self {
        self.journal = self.journal.map(JournalReader::past_end);
        self
    }

    /// The next record; `None` after the last. May be dropped while it waits without losing
    /// anything.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        let Some(reader) = &mut self.journal else {
            return Ok(None);
        };
        if self.end.is_none() {
            match reader.next().await.map_err(Error::internal)? {
                Some(record) if is_end(&record) => {
                    self.end = Some((record, Instant::now() + END_PATIENCE));
                }
                other => return Ok(other),
            }
        }
        if let (Some(live), Some((_, until))) = (&self.live, &self.end) {
            // Told in the end, whoever forgot to say so.
            let _ = tokio::time::timeout_at(*until, live.ended()).await;
        }
        Ok(self.end.take().map(|(record, _)| record))
    }

    /// The next record, if there is one now.
    pub(crate) fn try_next(&mut self) -> Result<Option<Record>> {
        let Some(reader) = &mut self.journal else {
            return Ok(None);
        };
        if self.end.is_none() {
            match reader.try_next().map_err(Error::internal)? {
                Some(record) if is_end(&record) => {
                    self.end = Some((record, Instant::now() + END_PATIENCE));
                }
                other => return Ok(other),
            }
        }
        match &self.live {
            Some(live) if !live.has_ended() => Ok(None),
            _ => Ok(self.end.take().map(|(record, _)| record)),
        }
    }

    /// The last record passed: a reader made with it goes on from here.
    #[must_use]
    pub fn position(&self) -> u64 {
        let passed = self.journal.as_ref().map(JournalReader::position);
        match &self.end {
            Some((end, _)) => end.seq - 1,
            None => passed.unwrap_or(self.after_seq),
        }
    }
}

const fn is_end(record: &Record) -> bool {
    matches!(record.body, RecordBody::End { .. })
}
