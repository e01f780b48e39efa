//! Bytes on their way into the storage, hashed and counted as they pass.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, PutResult, UploadPart};
use pinfold_model::{BlobId, Digest, Time};
use sha2::Digest as _;
use tokio::task::JoinSet;

use super::{BlobError, Blobs, Inner, Place};
use crate::objects::Content;

/// S3 takes parts of 5 MiB at least and 10,000 of them at most, which bounds a blob at 160 GB.
const REMOTE_PART_BYTES: usize = 16 << 20;
const LOCAL_PART_BYTES: usize = 1 << 20;
/// Parts on their way at once; with the one being filled, what a writer holds in memory.
const PARTS_MAX: usize = 2;

/// Content that is being written. Dropping it leaves nothing behind.
pub struct BlobWriter {
    path: Path,
    part_bytes: usize,
    /// Before the upload, so that no part is under way when that is aborted.
    parts: JoinSet<object_store::Result<()>>,
    /// From the first full part on; what fits into one is put as a whole.
    upload: Option<Upload>,
    lease: BlobLease,
    buffer: BytesMut,
    hash: sha2::Sha256,
    size_bytes: u64,
}

/// While it is held its blob is no garbage, whatever the records say.
pub struct BlobLease {
    inner: Arc<Inner>,
    blob: BlobId,
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobWriter")
            .field("blob", &self.lease.blob)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BlobLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BlobLease").field(&self.blob).finish()
    }
}

impl Blobs {
    /// Begins to write content under a fresh id. Nothing can be read there before it is finished.
    #[must_use]
    pub fn begin(&self) -> BlobWriter {
        let blob = BlobId::generate();
        let inner = Arc::clone(&self.0);
        inner
            .writing
            .lock()
            .expect("no panic under this lock")
            .insert(blob.clone());
        let part_bytes = match inner.place {
            Place::Directory(_) => LOCAL_PART_BYTES,
            Place::Remote => REMOTE_PART_BYTES,
        };
        BlobWriter {
            path: inner.path(&blob),
            lease: BlobLease { inner, blob },
            part_bytes,
            upload: None,
            parts: JoinSet::new(),
            buffer: BytesMut::new(),
            hash: sha2::Sha256::new(),
            size_bytes: 0,
        }
    }
}

impl BlobWriter {
    /// Bytes so far.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes the bytes, waiting while the storage is slower.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        self.hash.update(&bytes);
        self.size_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.part_bytes - self.buffer.len();
            let piece = bytes.split_to(room.min(bytes.len()));
            self.buffer.extend_from_slice(&piece);
            if self.buffer.len() == self.part_bytes {
                self.put_part().await?;
            }
        }
        Ok(())
    }

    /// Makes it readable. `at` becomes the time of its record, which has to be made while the lease
    /// is held.
    pub async fn finish(mut self, at: Time) -> Result<(Content, BlobLease), BlobError> {
        if self.upload.is_some() && !self.buffer.is_empty() {
            self.put_part().await?;
        }
        while let Some(part) = self.parts.join_next().await {
            landed(part)?;
        }
        match self.upload.take() {
            Some(upload) => upload.complete().await,
            None => {
                let whole = PutPayload::from(self.buffer.split().freeze());
                self.lease.inner.storage.put(&self.path, whole).await
            }
        }
        .map_err(|error| BlobError::at("completing", error))?;
        let content = Content {
            blob: self.lease.blob.clone(),
            digest: Digest::from_sha256(self.hash.finalize().into()),
            size_bytes: self.size_bytes,
            at,
        };
        Ok((content, self.lease))
    }

    async fn put_part(&mut self) -> Result<(), BlobError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let begun = self.lease.inner.storage.put_multipart(&self.path).await;
                let begun = begun.map_err(|error| BlobError::at("beginning", error))?;
                self.upload.insert(Upload(Some(begun)))
            }
        };
        while self.parts.len() >= PARTS_MAX {
            match self.parts.join_next().await {
                Some(part) => landed(part)?,
                None => break,
            }
        }
        let part = PutPayload::from(self.buffer.split().freeze());
        self.parts.spawn(upload.put_part(part));
        Ok(())
    }
}

/// An upload in parts that is aborted where it is not completed: S3 keeps the parts otherwise.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        match &mut self.0 {
            Some(upload) => upload.put_part(part),
            None => unreachable!("only completing and dropping take it"),
        }
    }

    async fn complete(mut self) -> object_store::Result<PutResult> {
        let Some(upload) = &mut self.0 else {
            unreachable!("only completing and dropping take it");
        };
        let completed = upload.complete().await?;
        self.0 = None;
        Ok(completed)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else {
            return;
        };
        // Without a runtime the process is ending; what is left then is found by a sweep, or by the
        // bucket's own rule for uploads that were never completed.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "an upload in parts is left in the object storage");
                }
            });
        }
    }
}

impl Drop for BlobLease {
    fn drop(&mut self) {
        let mut writing = self.inner.writing.lock().expect("no panic under this lock");
        writing.remove(&self.blob);
    }
}

fn landed(part: Result<object_store::Result<()>, tokio::task::JoinError>) -> Result<(), BlobError> {
    match part {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(BlobError::at("writing", error)),
        Err(error) => Err(BlobError::at("writing", error)),
    }
}
