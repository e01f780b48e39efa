//! Bodies too large for memory, both ways, with progress.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::Response;
use reqwest::header::CONTENT_RANGE;
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Called with the bytes moved so far, after each piece.
pub type Progress = Box<dyn FnMut(u64) + Send>;

/// Read from a file at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces between a local file and the connection.
const PIECES_AHEAD: usize = 4;

/// What to send as a body.
pub struct Upload {
    source: Source,
    progress: Option<Progress>,
}

enum Source {
    Bytes(Bytes),
    Stream(futures::stream::BoxStream<'static, io::Result<Bytes>>),
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl Upload {
    /// Bytes in memory; a failed upload of them is tried again.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Bytes(bytes.into()),
            progress: None,
        }
    }

    /// A local file, read as it is sent.
    ///
    /// # Errors
    /// `Error::File` where it cannot be opened.
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|source| Error::File {
                action: "read",
                path: path.display().to_string(),
                source,
            })?;
        Ok(Self::stream(pieces_of(file.into_std().await)))
    }

    /// Whatever comes, as fast as the server takes it.
    pub fn stream<S>(stream: S) -> Self
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        Self {
            source: Source::Stream(stream.boxed()),
            progress: None,
        }
    }

    /// Reports what was handed to the connection.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The bytes alone where they can be sent again, else a body for one try.
    pub(crate) fn into_body(self) -> std::result::Result<Bytes, reqwest::Body> {
        match (self.source, self.progress) {
            (Source::Bytes(bytes), None) => Ok(bytes),
            (Source::Bytes(bytes), progress) => {
                let pieces = split(bytes).map(Ok);
                Err(counted(futures::stream::iter(pieces).boxed(), progress))
            }
            (Source::Stream(stream), progress) => Err(counted(stream, progress)),
        }
    }
}

/// Read by a thread of its own, which is some pieces ahead of who takes them.
fn pieces_of(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (pieces, mut taken) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                read => read.map(|_| Bytes::from(piece)),
            };
            let last = piece.is_err();
            // Nobody takes them any more: the request is over.
            if pieces.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    futures::stream::poll_fn(move |context| taken.poll_recv(context))
}

fn split(mut bytes: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some(piece)
    })
}

fn counted(
    stream: futures::stream::BoxStream<'static, io::Result<Bytes>>,
    mut progress: Option<Progress>,
) -> reqwest::Body {
    let mut sent = 0;
    reqwest::Body::wrap_stream(stream.inspect(move |piece| {
        if let (Ok(piece), Some(progress)) = (piece, &mut progress) {
            sent += piece.len() as u64;
            progress(sent);
        }
    }))
}

/// Bytes as they arrive from the server.
pub struct ByteStream {
    response: Response,
    url: String,
    received: u64,
    progress: Option<Progress>,
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl ByteStream {
    pub(crate) fn new(response: Response, url: &str) -> Self {
        Self {
            response,
            url: url.to_owned(),
            received: 0,
            progress: None,
        }
    }

    /// How many bytes will come in all, where the server knows.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// How many bytes the whole has, where this is a range of it.
    #[must_use]
    pub fn whole_bytes(&self) -> Option<u64> {
        let range = self.response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
        range.rsplit_once('/')?.1.parse().ok()
    }

    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `Error::Broken` where the connection ends too early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.response.chunk().await.map_err(|error| Error::Broken {
            url: self.url.clone(),
            source: error.without_url().into(),
        })?;
        if let Some(chunk) = &chunk {
            self.received += chunk.len() as u64;
            if let Some(progress) = &mut self.progress {
                progress(self.received);
            }
        }
        Ok(chunk)
    }

    /// The same as a `futures` stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures::stream::try_unfold(self, |mut stream| async move {
            let chunk = stream.chunk().await?;
            Ok(chunk.map(|chunk| (chunk, stream)))
        })
    }

    /// Everything, in memory.
    ///
    /// # Errors
    /// As [`ByteStream::chunk`].
    pub async fn collect(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// Everything, into a local file that is made or replaced. Returns the number of bytes.
    ///
    /// # Errors
    /// `Error::File` for the local side, else as [`ByteStream::chunk`].
    pub async fn save(mut self, path: impl AsRef<Path>) -> Result<u64> {
        let path = path.as_ref();
        let fault = |source| Error::File {
            action: "write",
            path: path.display().to_string(),
            source,
        };
        let file = tokio::fs::File::create(path).await.map_err(fault)?;
        let mut file = file.into_std().await;
        let (pieces, mut taken) = mpsc::channel::<Bytes>(PIECES_AHEAD);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(piece) = taken.blocking_recv() {
                file.write_all(&piece)?;
            }
            Ok(())
        });
        let received = async {
            while let Some(piece) = self.chunk().await? {
                // It has ended, and says why below.
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let received = received.await;
        drop(pieces);
        let written = writer.await.map_err(io::Error::other);
        received?;
        written.and_then(|written| written).map_err(fault)?;
        Ok(self.received)
    }
}
