//! Streams as iterators, and bytes as a reader.

use std::fmt;
use std::io::Read;
use std::path::Path;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::BoxStream;
use pinfold_wire::{BuildEvent, CodeEvent, Command, PipelineEvent, Record, WatchEvent, WindowSize};

use super::Driver;
use crate::error::Result;
use crate::pty::PtyEvent;
use crate::stream::Numbered;

/// All items of a list, fetched page by page as the iterator moves on.
pub struct Items<T> {
    driver: Driver,
    inner: BoxStream<'static, Result<T>>,
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

impl<T> Items<T> {
    pub(super) fn new(
        driver: &Driver,
        inner: impl futures::Stream<Item = Result<T>> + Send + 'static,
    ) -> Self {
        Self {
            driver: driver.clone(),
            inner: inner.boxed(),
        }
    }
}

impl<T> Iterator for Items<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.driver.run(self.inner.next())
    }
}

/// A command's records up to its end; see [`crate::CommandStream`].
pub type CommandStream = EventStream<Record>;
/// A run's events up to its end; see [`crate::CodeStream`].
pub type CodeStream = EventStream<CodeEvent>;
/// A build's events up to its end; see [`crate::BuildStream`].
pub type BuildStream = EventStream<BuildEvent>;
/// A pipeline run's events up to its end; see [`crate::PipelineStream`].
pub type PipelineStream = EventStream<PipelineEvent>;

/// See [`crate::EventStream`].
#[derive(Debug)]
pub struct EventStream<T> {
    driver: Driver,
    inner: crate::EventStream<T>,
}

impl<T: Numbered> EventStream<T> {
    pub(super) fn new(driver: &Driver, inner: crate::EventStream<T>) -> Self {
        let driver = driver.clone();
        Self { driver, inner }
    }

    /// The last record handed out.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }
}

impl<T: Numbered> Iterator for EventStream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.driver.run(self.inner.next()).transpose()
    }
}

/// Changes of files as they happen; see [`crate::WatchStream`].
#[derive(Debug)]
pub struct WatchStream {
    driver: Driver,
    inner: crate::WatchStream,
}

impl WatchStream {
    pub(super) fn new(driver: &Driver, inner: crate::WatchStream) -> Self {
        let driver = driver.clone();
        Self { driver, inner }
    }
}

impl Iterator for WatchStream {
    type Item = Result<WatchEvent>;

    fn next(&mut self) -> Option<Result<WatchEvent>> {
        self.driver.run(self.inner.next()).transpose()
    }
}

/// Bytes as they arrive: an iterator of pieces and a [`Read`].
#[derive(Debug)]
pub struct ByteStream {
    driver: Driver,
    inner: crate::ByteStream,
    /// What `read` has not handed out of the last piece.
    rest: Bytes,
}

impl ByteStream {
    pub(super) fn new(driver: &Driver, inner: crate::ByteStream) -> Self {
        Self {
            driver: driver.clone(),
            inner,
            rest: Bytes::new(),
        }
    }

    /// How many bytes will come in all, where the server knows.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.inner.total_bytes()
    }

    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.inner = self.inner.on_progress(progress);
        self
    }

    /// Everything, in memory.
    pub fn collect_bytes(self) -> Result<Vec<u8>> {
        self.driver.run(self.inner.collect())
    }

    /// Everything, into a local file that is made or replaced. Returns the number of bytes.
    pub fn save(self, path: impl AsRef<Path>) -> Result<u64> {
        self.driver.run(self.inner.save(path))
    }
}

impl Iterator for ByteStream {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        if !self.rest.is_empty() {
            return Some(Ok(std::mem::take(&mut self.rest)));
        }
        self.driver.run(self.inner.chunk()).transpose()
    }
}

impl Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.driver.run(self.inner.chunk()) {
                Ok(Some(piece)) => self.rest = piece,
                Ok(None) => return Ok(0),
                Err(error) => return Err(std::io::Error::other(error)),
            }
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// An open terminal; see [`crate::Pty`].
#[derive(Debug)]
pub struct Pty {
    driver: Driver,
    inner: crate::Pty,
}

impl Pty {
    pub(super) fn new(driver: &Driver, inner: crate::Pty) -> Self {
        let driver = driver.clone();
        Self { driver, inner }
    }

    /// The command behind the terminal, as it was when the terminal opened.
    #[must_use]
    pub fn command(&self) -> &Command {
        self.inner.command()
    }

    /// Types.
    pub fn write(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        self.driver.run(self.inner.write(bytes))
    }

    pub fn resize(&mut self, size: WindowSize) -> Result<()> {
        self.driver.run(self.inner.resize(size))
    }

    pub fn signal(&mut self, signal: &str) -> Result<()> {
        self.driver.run(self.inner.signal(signal))
    }
}

impl Iterator for Pty {
    type Item = Result<PtyEvent>;

    fn next(&mut self) -> Option<Result<PtyEvent>> {
        self.driver.run(self.inner.next()).transpose()
    }
}
