//! Downloading one blob: verified, bounded by its descriptor, resumed where it broke off.

use std::path::Path;
use std::time::{Duration, Instant};

use pinfold_model::Digest;
use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, RANGE};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::error::PullError;
use super::progress::LayerReporter;
use super::session::Session;
use crate::oci::BlobRef;

/// Attempts in a row that bring nothing, or that little that they were given up.
const BARREN_ATTEMPTS_MAX: u32 = 5;
/// Attempts of one blob, whatever they bring.
const ATTEMPTS_MAX: u32 = 100;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What an attempt has to bring in each [`PACE_SPAN`] of waiting for it, unless it ends sooner: a
/// registry that sends a byte now and then must not hold a pull's turn for ever.
const PACE_BYTES: usize = 64 << 10;
const PACE_SPAN: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 256 << 10;

/// Waits before the next try: longer each time, or as long as the registry asks.
pub(super) async fn pause(tried: u32, error: &PullError) {
    let asked = match error {
        PullError::Busy { retry_after, .. } => *retry_after,
        _ => None,
    };
    let growing = PAUSE_FIRST * 2_u32.pow(tried.saturating_sub(1).min(6));
    tokio::time::sleep(asked.unwrap_or(growing).min(PAUSE_MAX)).await;
}

/// Writes the blob to a new file.
pub(super) async fn blob(
    session: &Session,
    blob: &BlobRef,
    path: &Path,
    reporter: Option<LayerReporter>,
) -> Result<(), PullError> {
    let mut download = Download::new(session, blob, path, reporter).await?;
    let (mut barren, mut attempts) = (0, 0);
    loop {
        let before = download.written;
        attempts += 1;
        let error = match download.attempt().await {
            Ok(()) => return download.finish().await,
            Err(error) if can_resume(&error) => error,
            Err(error) => return Err(error),
        };
        barren = match error {
            PullError::TooSlow { .. } => barren + 1,
            _ if download.written > before => 0,
            _ => barren + 1,
        };
        if barren >= BARREN_ATTEMPTS_MAX || attempts >= ATTEMPTS_MAX {
            return Err(match error {
                PullError::BrokenOff { registry, .. } => {
                    PullError::BrokenOff { registry, attempts }
                }
                other => other,
            });
        }
        pause(barren + 1, &error).await;
    }
}

/// The registry was there a moment ago, so even a lost connection is worth another try.
fn can_resume(error: &PullError) -> bool {
    let cut = matches!(
        error,
        PullError::Unreachable { .. } | PullError::TooSlow { .. }
    );
    cut || error.is_passing()
}

/// How fast an attempt goes. Counts the time spent waiting for the registry and nothing else: a slow
/// disk is no fault of its.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: usize,
}

impl Pace {
    /// Whether it is fast enough, with `bytes` that came after `waited`.
    fn holds(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < PACE_SPAN {
            return true;
        }
        let span = std::mem::take(self);
        span.bytes >= PACE_BYTES
    }
}

struct Download<'s> {
    session: &'s Session,
    blob: &'s BlobRef,
    file: BufWriter<File>,
    hasher: Sha256,
    /// Bytes hashed and given to the file.
    written: u64,
    reporter: Option<LayerReporter>,
}

impl<'s> Download<'s> {
    async fn new(
        session: &'s Session,
        blob: &'s BlobRef,
        path: &Path,
        reporter: Option<LayerReporter>,
    ) -> Result<Self, PullError> {
        let file = File::create_new(path).await.map_err(PullError::Write)?;
        Ok(Self {
            session,
            blob,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hasher: Sha256::new(),
            written: 0,
            reporter,
        })
    }

    /// Goes on where the last attempt ended.
    async fn attempt(&mut self) -> Result<(), PullError> {
        if self.written == self.blob.size {
            return Ok(());
        }
        let part = format!("blobs/{}", self.blob.digest);
        let range = match self.written {
            0 => vec![],
            from => vec![(RANGE, format!("bytes={from}-"))],
        };
        let mut response = self.session.get(&part, &range).await?;
        if self.written > 0 && !continues(&response, self.written) {
            self.restart().await?;
        }
        let mut pace = Pace::default();
        loop {
            let since = Instant::now();
            match response.chunk().await {
                Ok(Some(piece)) => {
                    let waited = since.elapsed();
                    self.take(&piece).await?;
                    if self.written < self.blob.size && !pace.holds(waited, piece.len()) {
                        return Err(PullError::TooSlow {
                            registry: self.session.registry(),
                        });
                    }
                }
                Ok(None) if self.written == self.blob.size => return Ok(()),
                Ok(None) | Err(_) => {
                    return Err(PullError::BrokenOff {
                        registry: self.session.registry(),
                        attempts: 1,
                    });
                }
            }
        }
    }

    async fn take(&mut self, piece: &[u8]) -> Result<(), PullError> {
        let after = self.written + piece.len() as u64;
        if after > self.blob.size {
            let problem = format!("it goes on behind its {} bytes", self.blob.size);
            return Err(self
                .session
                .protocol(&format!("blob {}", self.blob.digest), problem));
        }
        self.hasher.update(piece);
        self.file.write_all(piece).await.map_err(PullError::Write)?;
        self.written = after;
        if let Some(reporter) = &mut self.reporter {
            reporter.at(self.written, self.blob.size);
        }
        Ok(())
    }

    /// A registry without ranges sends it all again.
    async fn restart(&mut self) -> Result<(), PullError> {
        self.file.flush().await.map_err(PullError::Write)?;
        let file = self.file.get_mut();
        file.set_len(0).await.map_err(PullError::Write)?;
        file.rewind().await.map_err(PullError::Write)?;
        self.hasher = Sha256::new();
        self.written = 0;
        Ok(())
    }

    async fn finish(mut self) -> Result<(), PullError> {
        self.file.flush().await.map_err(PullError::Write)?;
        if let Some(reporter) = &mut self.reporter {
            reporter.at(self.blob.size, self.blob.size);
        }
        let actual = Digest::from_sha256(self.hasher.finalize().into());
        if actual == self.blob.digest {
            return Ok(());
        }
        Err(PullError::Digest {
            registry: self.session.registry(),
            expected: self.blob.digest.clone(),
            actual,
        })
    }
}

/// Whether the answer begins at `from`. Anything else counts as the whole blob, which its digest
/// judges.
fn continues(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    let range = range.and_then(|value| value.to_str().ok());
    response.status().as_u16() == 206
        && range.is_some_and(|text| text.trim().starts_with(&format!("bytes {from}-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_too_slow_and_a_stream_with_pauses_is_not() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        let held = (0..60).take_while(|_| pace.holds(second, 1)).count();
        assert_eq!(held, 59, "given up when the first span is over");

        let mut pace = Pace::default();
        for _ in 0..10 {
            assert!(pace.holds(PACE_SPAN - second, PACE_BYTES));
            assert!(pace.holds(second, 0));
        }
    }

    #[test]
    fn what_one_span_brought_does_not_count_for_the_next() {
        let mut pace = Pace::default();
        assert!(pace.holds(PACE_SPAN, 100 * PACE_BYTES));
        assert!(!pace.holds(PACE_SPAN, PACE_BYTES - 1));
    }
}
