//! Tests of the journal as its users see it, and what they share.

mod bounds;
mod crash;
mod disk;
mod flow;
mod model;
mod reading;

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{CommandId, CommandState, ExitStatus};
use rustix::pipe::PipeFlags;
use tempfile::TempDir;

use super::source::{Means, Source};
use super::writer::Taken;
use super::{Journal, JournalReader, JournalWriter, Journals};

const OK: CommandState = CommandState::Exited(ExitStatus::Code(0));
const CAP: u64 = 64 << 20;

/// A directory of journals with one command in it.
struct Place {
    dir: TempDir,
    journals: Journals,
    id: CommandId,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::open(dir.path()).unwrap();
        Self {
            dir,
            journals,
            id: CommandId::generate(),
        }
    }

    fn create(&self, cap: u64) -> JournalWriter {
        self.journals.create(&self.id, cap).unwrap()
    }

    /// As a server that has just started sees it.
    fn restart(&mut self) {
        self.journals = Journals::open(self.dir.path()).unwrap();
    }

    fn journal(&self) -> Arc<Journal> {
        self.journals.get(&self.id).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(self.id.as_str())
    }
}

/// A pipe: what the journal reads from, and what a command writes to.
fn pipe() -> (OwnedFd, File) {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    (reading, File::from(writing))
}

/// What the journal makes of a reading end.
fn source(fd: &OwnedFd) -> Source<'_> {
    Source::new(fd.as_fd(), Means::of(fd).unwrap())
}

/// Moves all that waits into the journal.
fn drain(writer: &mut JournalWriter, stream: Stream, fd: &OwnedFd) {
    while let Taken::Bytes { .. } = writer.take(stream, source(fd), usize::MAX) {}
}

/// Everything that a reader gives without waiting.
fn now(mut reader: JournalReader) -> Vec<Record> {
    std::iter::from_fn(|| reader.try_next().unwrap()).collect()
}

fn output(records: &[Record], wanted: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    for record in records {
        match &record.body {
            RecordBody::Output { stream, bytes } if *stream == wanted => all.extend(bytes),
            _ => {}
        }
    }
    all
}

/// Numbers are `first`, `first + 1`, ...
fn assert_no_gap(records: &[Record], first: u64) {
    let seqs: Vec<u64> = records.iter().map(|record| record.seq).collect();
    let wanted: Vec<u64> = (first..first + records.len() as u64).collect();
    assert_eq!(seqs, wanted);
}

async fn all(mut reader: JournalReader) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(record) = soon(reader.next()).await.unwrap() {
        records.push(record);
    }
    records
}

/// A deadline for what has to happen; far above what it takes.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("did not happen in time")
}

/// Bytes that no shifted, doubled or lost part of themselves equals: each 8 count up.
fn numbered(from: u64, len: usize) -> Vec<u8> {
    let begin = from / 8;
    let skip = usize::try_from(from % 8).unwrap();
    let words = (begin..).take((skip + len).div_ceil(8));
    let bytes: Vec<u8> = words
        .flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect();
    bytes[skip..skip + len].to_vec()
}

fn write(pipe: &mut File, bytes: &[u8]) {
    pipe.write_all(bytes).unwrap();
}
