//! Bytes on their way out of the storage.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore};
use pinfold_model::BlobId;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::{BlobError, Blobs};

/// Bytes of one piece of a file at most.
const PIECE_BYTES: usize = 256 << 10;

/// A part of some content, piece by piece.
pub struct BlobReader {
    blob: BlobId,
    source: Source,
    /// Bytes that have yet to come.
    left: u64,
}

enum Source {
    File(tokio::fs::File),
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
    /// Nothing was asked for.
    Nothing,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("blob", &self.blob)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Blobs {
    /// Reads those bytes, which have to be within the content.
    pub async fn read(&self, blob: &BlobId, range: Range<u64>) -> Result<BlobReader, BlobError> {
        let left = range.end.saturating_sub(range.start);
        let source = match left {
            0 => Source::Nothing,
            _ => self.source(blob, range).await?,
        };
        Ok(BlobReader {
            blob: blob.clone(),
            source,
            left,
        })
    }

    async fn source(&self, blob: &BlobId, range: Range<u64>) -> Result<Source, BlobError> {
        let failed = |error: object_store::Error| BlobError::at("reading", error);
        let start = range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let path = self.0.path(blob);
        let found = self.0.storage.get_opts(&path, options).await;
        Ok(match found.map_err(failed)?.payload {
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                file.set_max_buf_size(PIECE_BYTES);
                let sought = file.seek(std::io::SeekFrom::Start(start)).await;
                sought.map_err(|error| BlobError::at("seeking", error))?;
                Source::File(file)
            }
            GetResultPayload::Stream(stream) => Source::Stream(stream),
        })
    }
}

impl BlobReader {
    /// The next piece; `None` after the last one, when all has come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = match &mut self.source {
            Source::Nothing => None,
            Source::Stream(stream) => stream
                .next()
                .await
                .transpose()
                .map_err(|error| BlobError::at("reading", error))?,
            Source::File(file) => {
                let wanted = self.left.min(PIECE_BYTES as u64) as usize;
                let mut piece = BytesMut::with_capacity(wanted);
                let read = file.take(self.left).read_buf(&mut piece).await;
                let read = read.map_err(|error| BlobError::at("reading", error))?;
                (read > 0).then(|| piece.freeze())
            }
        };
        let Some(mut piece) = piece else {
            return Err(BlobError::Truncated(self.blob.clone()));
        };
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}
