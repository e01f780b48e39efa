//! The object storage: bytes under ids of their own, in a local directory or an S3-compatible store.
//!
//! ```text
//! Blobs --begin--> BlobWriter --finish--> id + digest + size (+ lease) --> recorded by Objects
//! Blobs --stored--> what is there - leased - recorded = garbage
//! ```
//! An id is used once, so nothing here is ever overwritten and what is garbage stays garbage. This
//! module knows no object and no row: it is told what is still wanted.

mod open;
mod read;
mod stored;
mod write;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use pinfold_model::{BlobId, Code, Error};

pub use read::BlobReader;
pub use write::{BlobLease, BlobWriter};

/// A place for content. Cheap to clone; clones are one place.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    storage: Arc<dyn ObjectStore>,
    prefix: Path,
    place: Place,
    /// Blobs that are being written, or are written and not recorded yet.
    writing: Mutex<HashSet<BlobId>>,
}

/// What differs between the kinds of storage.
#[derive(Debug)]
enum Place {
    /// Files of this server alone.
    Directory(PathBuf),
    /// A store that other servers may write to as well.
    Remote,
}

/// Why content could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The address of the storage, or what the environment says about it, is unusable.
    #[error("{0}")]
    Unusable(String),
    #[error("the object storage failed at: {step}")]
    Storage {
        step: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored is shorter than what was recorded.
    #[error("the content of {0} ends early")]
    Truncated(BlobId),
}

impl BlobError {
    fn at(step: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage {
            step,
            source: source.into(),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Storage { .. } => Self::new(
                Code::Unavailable,
                "the object storage did not do its part; try again shortly",
            )
            .because(error),
            BlobError::Unusable(_) | BlobError::Truncated(_) => Self::internal(error),
        }
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs")
            .field("place", &self.0.place)
            .finish_non_exhaustive()
    }
}

impl Blobs {
    /// Removes content. What is not there counts as removed.
    pub async fn remove(&self, blob: &BlobId) -> Result<(), BlobError> {
        match self.0.storage.delete(&self.0.path(blob)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BlobError::at("removing", error)),
        }
    }
}

impl Inner {
    fn path(&self, blob: &BlobId) -> Path {
        self.prefix.clone().join(blob.as_str())
    }

    fn is_writing(&self, blob: &BlobId) -> bool {
        self.writing
            .lock()
            .expect("no panic under this lock")
            .contains(blob)
    }
}
