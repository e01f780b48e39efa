//! Reading an object's content.

use bytes::Bytes;
use pinfold_model::{Ctx, Error, Object, ObjectId, Result};
use pinfold_store::BlobReader;

use crate::Engine;
use crate::files::ReadRange;

/// Content of a sealed object, piece by piece.
#[derive(Debug)]
pub struct ObjectReader {
    object: Object,
    reader: BlobReader,
}

impl ObjectReader {
    /// What is being read.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Size of the whole content, also where only a part is read.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.object.size_bytes.unwrap_or(0)
    }

    /// The next piece; `None` after the last one, when all has come.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.reader.next().await?)
    }
}

impl Engine {
    /// Reads a sealed object's bytes as a stream. A range that begins behind the end holds nothing.
    pub async fn read_object(
        &self,
        ctx: &Ctx,
        id: &ObjectId,
        range: ReadRange,
    ) -> Result<ObjectReader> {
        self.timed(ctx, "object.read", async {
            let object = self.object(ctx, id).await?;
            object.state.require_sealed()?;
            let (Some(blob), Some(total)) = (&object.content, object.size_bytes) else {
                return Err(Error::internal(format!("{id} is sealed without content")));
            };
            let start = range.offset.min(total);
            let end = match range.length {
                Some(length) => start.saturating_add(length).min(total),
                None => total,
            };
            let reader = self.inner.blobs.read(blob, start..end).await?;
            Ok(ObjectReader { object, reader })
        })
        .await
    }
}
