//! Bytes on their way into the object storage, no more of them than there is room for.

use futures::StreamExt;
use pinfold_model::{Code, Error, ProjectId, Result, limits};
use pinfold_store::{QuotaKind, QuotaOf, StoreError};

use super::{ObjectBody, Written};
use crate::Engine;
use crate::files::FileReader;

/// What one body may bring.
struct Room {
    /// What the project's quota leaves, and what it is made of.
    quota: Option<(u64, u64)>,
}

impl Room {
    fn admit(&self, bytes: u64) -> Result<()> {
        if bytes > limits::OBJECT_MAX_BYTES {
            let max = limits::OBJECT_MAX_BYTES;
            return Err(Error::new(
                Code::BodyTooLarge,
                format!("an object may have at most {max} bytes; split it"),
            )
            .detail("max_bytes", max));
        }
        match self.quota {
            Some((limit, used)) if used.saturating_add(bytes) > limit => {
                Err(StoreError::QuotaExceeded {
                    of: QuotaOf::Project,
                    quota: QuotaKind::ObjectBytes,
                    limit,
                    used,
                    wanted: bytes,
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Puts the whole body into the storage. What it leaves there when it fails is nothing.
    pub(super) async fn pour(&self, project: &ProjectId, mut body: ObjectBody) -> Result<Written> {
        // A look ahead, so that what cannot fit does not travel first; recording it is what counts.
        let (used, limit) = self.store().objects().usage(project).await?;
        let room = Room {
            quota: limit.map(|limit| (limit, used)),
        };
        room.admit(body.announced.unwrap_or(0))?;
        let mut writer = self.inner.blobs.begin();
        while let Some(piece) = body.pieces.next().await {
            let piece = piece?;
            room.admit(writer.size_bytes() + piece.len() as u64)?;
            writer.write(piece).await?;
        }
        Ok(writer.finish(self.now()).await?)
    }
}

/// A file's bytes up to its end; one that breaks off is an error.
pub(super) fn file(reader: FileReader) -> ObjectBody {
    let announced = reader.total_bytes();
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok(piece.map(|piece| (piece, reader)))
    });
    ObjectBody {
        pieces: pieces.boxed(),
        announced,
    }
}
