//! Reading a command's journal as it is now, page by page.

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{CommandId, Ctx, Error, Result};
use pinfold_runtime::journal::Page as JournalPage;

use super::kept_journal;
use crate::Engine;

/// Output bytes of one page at most; its first record, of 1 MiB at most, is given in any case.
const PAGE_MAX_BYTES: usize = 1 << 20;

/// Which part of a journal is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsRequest {
    /// Records after this one; 0 for all.
    pub after_seq: u64,
    /// Records at most: taken into 1 to 1,000.
    pub limit: usize,
    /// Only output of this stream; marks are given in any case.
    pub stream: Option<Stream>,
}

impl Default for LogsRequest {
    fn default() -> Self {
        Self {
            after_seq: 0,
            limit: 1000,
            stream: None,
        }
    }
}

/// Consecutive records of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub next_after_seq: u64,
    /// There were no more records when this was read.
    pub at_end: bool,
}

impl Engine {
    /// What the command has written, as numbered records. A page holds about 1 MiB of output at
    /// most. The journal of a destroyed sandbox's command is kept for a time that the operator
    /// chooses; after that it is empty, but for the end of one that wrote nothing.
    pub async fn read_logs(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        request: LogsRequest,
    ) -> Result<LogPage> {
        self.timed(ctx, "command.logs", async {
            let command = self.any_command(ctx, id).await?;
            let Some(journal) = kept_journal(&self.inner.parts.journals, &command)? else {
                return Ok(nothing(request.after_seq));
            };
            let read = move || journal.page(request.after_seq, request.limit, request.stream);
            let page = tokio::task::spawn_blocking(read)
                .await
                .map_err(Error::internal)?;
            Ok(bounded(page.map_err(Error::internal)?))
        })
        .await
    }
}

fn nothing(after_seq: u64) -> LogPage {
    LogPage {
        records: Vec::new(),
        next_after_seq: after_seq,
        at_end: true,
    }
}

fn bounded(page: JournalPage) -> LogPage {
    let mut room = PAGE_MAX_BYTES;
    let mut kept = 0;
    for record in &page.records {
        let bytes = match &record.body {
            RecordBody::Output { bytes, .. } => bytes.len(),
            RecordBody::Truncated | RecordBody::End { .. } => 0,
        };
        if bytes > room && kept > 0 {
            break;
        }
        room = room.saturating_sub(bytes);
        kept += 1;
    }
    let mut records = page.records;
    let cut = kept < records.len();
    records.truncate(kept);
    let next_after_seq = match records.last() {
        Some(last) if cut => last.seq,
        _ => page.last_seq,
    };
    LogPage {
        records,
        next_after_seq,
        at_end: !cut && !page.more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::Time;

    fn record(seq: u64, bytes: usize) -> Record {
        Record {
            seq,
            time: Time::UNIX_EPOCH,
            body: RecordBody::Output {
                stream: Stream::Stdout,
                bytes: vec![0; bytes],
            },
        }
    }

    #[test]
    fn a_page_is_cut_at_its_bytes_and_says_where_to_go_on() {
        let page = JournalPage {
            records: vec![record(1, 600 << 10), record(2, 600 << 10), record(3, 1)],
            last_seq: 3,
            more: false,
        };
        let first = bounded(page);
        assert_eq!(first.records.len(), 1);
        assert_eq!(first.next_after_seq, 1);
        assert!(!first.at_end);
    }

    #[test]
    fn a_page_that_fits_keeps_its_end() {
        let page = JournalPage {
            records: vec![record(4, 10)],
            last_seq: 9,
            more: false,
        };
        let whole = bounded(page);
        assert_eq!((whole.next_after_seq, whole.at_end), (9, true));
    }
}
