//! How far an import has come, and the caller's way to stop it. Knows no archive format.

use std::io::{self, Read};
use std::ops::ControlFlow;

/// Bytes between two reports.
const REPORT_EVERY_BYTES: u64 = 1 << 20;

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the source (as stored, so compressed where it is) read so far.
    pub read_bytes: u64,
    /// All bytes of the source, where known.
    pub total_bytes: Option<u64>,
}

/// Called about once a MiB of source; `Break` ends the import with `ImportError::Cancelled`.
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// The caller asked to stop. Travels inside an [`io::Error`] through decoders.
#[derive(Debug, thiserror::Error)]
#[error("cancelled by the caller")]
pub(crate) struct Cancelled;

/// Counts over all sources of one import.
pub(crate) struct Meter<'a> {
    progress: Progress,
    reported_bytes: u64,
    on_progress: &'a mut OnProgress<'a>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(total_bytes: Option<u64>, on_progress: &'a mut OnProgress<'a>) -> Self {
        Self {
            progress: Progress {
                read_bytes: 0,
                total_bytes,
            },
            reported_bytes: 0,
            on_progress,
        }
    }

    pub(crate) fn set_total(&mut self, bytes: u64) {
        self.progress.total_bytes = Some(bytes);
    }

    /// Tells the caller where things stand, whatever was said before.
    pub(crate) fn report(&mut self) -> io::Result<()> {
        self.reported_bytes = self.progress.read_bytes;
        match (self.on_progress)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io::Error::other(Cancelled)),
        }
    }

    fn add(&mut self, bytes: u64) -> io::Result<()> {
        self.progress.read_bytes += bytes;
        if self.progress.read_bytes - self.reported_bytes >= REPORT_EVERY_BYTES {
            self.report()?;
        }
        Ok(())
    }
}

/// A source whose bytes are counted as they are read.
pub(crate) struct Metered<'m, 'a, R> {
    inner: R,
    meter: &'m mut Meter<'a>,
}

impl<'m, 'a, R> Metered<'m, 'a, R> {
    pub(crate) fn new(inner: R, meter: &'m mut Meter<'a>) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Metered<'_, '_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.meter.add(count as u64)?;
        Ok(count)
    }
}
