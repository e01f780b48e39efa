//! A command's output as text: chunks that never cut a character, from any record on.

use std::collections::VecDeque;
use std::sync::Arc;

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{Code, Command, CommandId, Ctx, Error, Result, Time};
use pinfold_runtime::journal::{Journal, ReadError};

use super::utf8::{CUT_MAX_BYTES, TextDecoder};
use super::{OutputReader, kept_journal};
use crate::Engine;

/// Text of one page at most; its first chunk is given in any case.
const PAGE_MAX_BYTES: usize = 1 << 20;
/// Records looked at together.
const RECORDS: usize = 200;

/// Some text of one stream. Chunks have rising numbers over both streams, with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextChunk {
    /// A reader that begins after it misses nothing and repeats nothing.
    pub seq: u64,
    pub time: Time,
    pub stream: Stream,
    /// Never empty. What is no UTF-8 is U+FFFD.
    pub text: String,
}

/// Consecutive chunks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextPage {
    pub chunks: Vec<TextChunk>,
    /// There were more behind them when this was read.
    pub more: bool,
}

/// The last chunks of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextTail {
    pub chunks: Vec<TextChunk>,
    /// There were more before them.
    pub cut: bool,
}

/// Follows a command's output as text until it has ended.
#[derive(Debug)]
pub struct TextReader {
    records: OutputReader,
    text: Text,
    ready: VecDeque<TextChunk>,
}

impl Engine {
    /// Up to `limit` chunks (at least one) after record `after_seq`, as the journal is now; about
    /// 1 MiB at most. `output_gone` where they are no longer kept.
    pub async fn read_text(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        after_seq: u64,
        limit: usize,
    ) -> Result<TextPage> {
        self.timed(ctx, "command.text", async {
            let command = self.any_command(ctx, id).await?;
            let Some(journal) = self.kept(&command, after_seq)? else {
                return Ok(TextPage::default());
            };
            let read = move || page(&journal, after_seq, limit.max(1));
            let page = tokio::task::spawn_blocking(read).await;
            page.map_err(Error::internal)?.map_err(Error::internal)
        })
        .await
    }

    /// The last chunks, about as many as `limit`, as the journal is now; about 1 MiB at most. `output_gone`
    /// where they are no longer kept.
    pub async fn last_text(&self, ctx: &Ctx, id: &CommandId, limit: usize) -> Result<TextTail> {
        self.timed(ctx, "command.text", async {
            let command = self.any_command(ctx, id).await?;
            let Some(journal) = self.kept(&command, 0)? else {
                return Ok(TextTail::default());
            };
            let read = move || tail(&journal, limit);
            let tail = tokio::task::spawn_blocking(read).await;
            tail.map_err(Error::internal)?.map_err(Error::internal)
        })
        .await
    }

    /// Follows the output after record `after_seq` (0: from the first). `output_gone` where it is no
    /// longer kept.
    pub async fn text_reader(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        after_seq: u64,
    ) -> Result<TextReader> {
        let text = self
            .timed(ctx, "command.text", async {
                let command = self.any_command(ctx, id).await?;
                match self.kept(&command, after_seq)? {
                    Some(journal) => Text::behind(&journal, after_seq).map_err(Error::internal),
                    None => Ok(Text::default()),
                }
            })
            .await?;
        Ok(TextReader {
            records: self.reader(ctx, id, after_seq).await?,
            text,
            ready: VecDeque::new(),
        })
    }

    /// The journal; `None` where there is none and nothing is missing after `after_seq`.
    fn kept(&self, command: &Command, after_seq: u64) -> Result<Option<Arc<Journal>>> {
        match kept_journal(&self.inner.parts.journals, command)? {
            Some(journal) => Ok(Some(journal)),
            // The last record of a command that has ended is its End.
            None if command.last_seq.unwrap_or(0) <= after_seq.saturating_add(1) => Ok(None),
            None => Err(Error::new(
                Code::OutputGone,
                "the output of this command is no longer kept",
            )),
        }
    }
}

impl TextReader {
    /// The next chunk, waited for; `None` when the command has ended and all was given. May be
    /// dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<TextChunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            match self.records.next().await? {
                Some(record) => self.ready.extend(self.text.take(record)),
                None => return Ok(None),
            }
        }
    }
}

/// Both streams on their way to text.
#[derive(Debug, Default)]
struct Text {
    stdout: TextDecoder,
    stderr: TextDecoder,
}

impl Text {
    /// As it is behind record `seq`. Nothing goes on behind End.
    fn behind(journal: &Arc<Journal>, seq: u64) -> Result<Self, ReadError> {
        if journal.status().end.is_some_and(|end| end.seq <= seq) {
            return Ok(Self::default());
        }
        let tails = journal.tails(seq, CUT_MAX_BYTES)?;
        Ok(Self {
            stdout: TextDecoder::behind(&tails.stdout),
            stderr: TextDecoder::behind(&tails.stderr),
        })
    }

    /// A record's text: at most one chunk, save that End gives what stayed cut of each stream.
    fn take(&mut self, record: Record) -> Vec<TextChunk> {
        let found = match record.body {
            RecordBody::Output { stream, bytes } => {
                let decoder = match stream {
                    Stream::Stdout => &mut self.stdout,
                    Stream::Stderr => &mut self.stderr,
                };
                vec![(stream, Some(decoder.push(&bytes)))]
            }
            RecordBody::Truncated => Vec::new(),
            RecordBody::End { .. } => vec![
                (Stream::Stdout, self.stdout.finish()),
                (Stream::Stderr, self.stderr.finish()),
            ],
        };
        let chunk = |(stream, text): (Stream, Option<String>)| TextChunk {
            seq: record.seq,
            time: record.time,
            stream,
            text: text.unwrap_or_default(),
        };
        let chunks = found.into_iter().map(chunk);
        chunks.filter(|chunk| !chunk.text.is_empty()).collect()
    }
}

fn tail(journal: &Arc<Journal>, limit: usize) -> Result<TextTail, ReadError> {
    let last = journal.tail(limit, None)?.records;
    // Numbers begin at 1.
    let before = last.first().map_or(0, |first| first.seq.saturating_sub(1));
    let mut text = match before {
        0 => Text::default(),
        seq => Text::behind(journal, seq)?,
    };
    Ok(TextTail {
        chunks: last
            .into_iter()
            .flat_map(|record| text.take(record))
            .collect(),
        cut: before > 0,
    })
}

fn page(journal: &Arc<Journal>, after_seq: u64, limit: usize) -> Result<TextPage, ReadError> {
    let mut text = Text::behind(journal, after_seq)?;
    let mut page = TextPage::default();
    let (mut after, mut bytes) = (after_seq, 0);
    loop {
        let records = journal.page(after, RECORDS, None)?;
        for chunk in records
            .records
            .into_iter()
            .flat_map(|record| text.take(record))
        {
            let full = page.chunks.len() >= limit || bytes + chunk.text.len() > PAGE_MAX_BYTES;
            // Two chunks of one record are not parted: the next page begins behind the record.
            let first_of_record = page.chunks.last().is_none_or(|last| last.seq != chunk.seq);
            if full && first_of_record && !page.chunks.is_empty() {
                page.more = true;
                return Ok(page);
            }
            bytes += chunk.text.len();
            page.chunks.push(chunk);
        }
        if !records.more {
            return Ok(page);
        }
        after = records.last_seq;
    }
}
