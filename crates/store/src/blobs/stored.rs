//! What the storage holds, for finding what nobody wants any more.

use std::collections::HashSet;
use std::path::{Path as FsPath, PathBuf};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use pinfold_model::{BlobId, Time};

use super::{BlobError, Blobs, Place};

/// Another server may have written a blob and be about to record it; that takes seconds.
const REMOTE_GRACE: Duration = Duration::from_secs(3600);
/// Blobs of one batch at most.
const BATCH_MAX: usize = 1000;
/// Between a blob's name and the number of an attempt to write it, in a local directory.
const ATTEMPT_MARK: char = '#';

/// One thing in the storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    blob: BlobId,
    /// The file of an attempt to write it that has not been completed.
    attempt: Option<PathBuf>,
}

impl Blobs {
    /// Removes what no server is writing and `wanted` does not name, given batches of blobs in
    /// order. Answers how many were removed.
    ///
    /// A blob is recorded while its writer holds it back from here. So what is seen in the storage,
    /// then is not held back, and then is not recorded, never will be.
    pub async fn sweep<E, F>(&self, wanted: impl Fn(Vec<BlobId>) -> F) -> Result<u64, E>
    where
        E: From<BlobError>,
        F: Future<Output = Result<HashSet<BlobId>, E>>,
    {
        let mut removed = 0;
        let mut batches = std::pin::pin!(self.stored().await?.chunks(BATCH_MAX));
        while let Some(batch) = batches.next().await {
            let seen: Result<Vec<Stored>, BlobError> = batch.into_iter().collect();
            let mut free: Vec<Stored> = seen?;
            free.retain(|stored| !self.0.is_writing(&stored.blob));
            free.sort();
            let mut blobs: Vec<BlobId> = free.iter().map(|stored| stored.blob.clone()).collect();
            blobs.dedup();
            if blobs.is_empty() {
                continue;
            }
            let wanted = wanted(blobs).await?;
            for stored in free {
                // What an attempt left is of no use to anybody, also where a later one succeeded.
                if stored.attempt.is_none() && wanted.contains(&stored.blob) {
                    continue;
                }
                self.remove_stored(stored).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn remove_stored(&self, stored: Stored) -> Result<(), BlobError> {
        let Some(attempt) = stored.attempt else {
            return self.remove(&stored.blob).await;
        };
        match tokio::fs::remove_file(attempt).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BlobError::at("removing", error))
            }
            _ => Ok(()),
        }
    }
}

impl Blobs {
    /// Names that are none of ours are left alone.
    async fn stored(&self) -> Result<BoxStream<'static, Result<Stored, BlobError>>, BlobError> {
        match &self.0.place {
            Place::Directory(directory) => {
                let directory = directory.clone();
                let listed = tokio::task::spawn_blocking(move || files(&directory)).await;
                let listed = listed.map_err(|error| BlobError::at("listing", error))?;
                let files = listed.map_err(|error| BlobError::at("listing", error))?;
                Ok(futures::stream::iter(files.into_iter().map(Ok)).boxed())
            }
            Place::Remote => {
                let before = Time::now() - REMOTE_GRACE;
                let listed = self.0.storage.list(Some(&self.0.prefix));
                let stored =
                    listed.try_filter_map(move |meta| async move { Ok(remote(&meta, before)) });
                Ok(stored
                    .map_err(|error| BlobError::at("listing", error))
                    .boxed())
            }
        }
    }
}

fn files(directory: &FsPath) -> std::io::Result<Vec<Stored>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        // It is made with the first blob.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (blob, attempt) = match name.split_once(ATTEMPT_MARK) {
            Some((blob, _)) => (blob, Some(entry.path())),
            None => (name, None),
        };
        if let Ok(blob) = blob.parse() {
            files.push(Stored { blob, attempt });
        }
    }
    files.sort();
    Ok(files)
}

fn remote(meta: &ObjectMeta, before: Time) -> Option<Stored> {
    let blob = meta.location.filename()?.parse().ok()?;
    (meta.last_modified.timestamp() < before.as_second()).then_some(Stored {
        blob,
        attempt: None,
    })
}
