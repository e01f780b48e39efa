//! Blobs of a layout, never believed before their size and digest are checked.

use std::io::{self, Read, Take};

use oci_spec::image::Descriptor;
use pinfold_model::Digest;

use super::layout::{Layout, Source};
use crate::error::ImportError;
use crate::limits::Limits;
use crate::unpack::Hashing;

/// Names a blob by content and size.
#[derive(Debug, Clone)]
pub(crate) struct BlobRef {
    pub(crate) digest: Digest,
    /// Bytes as stored.
    pub(crate) size: u64,
}

impl BlobRef {
    pub(crate) fn of(descriptor: &Descriptor) -> Result<Self, ImportError> {
        let text = descriptor.digest().as_ref();
        let digest = text.parse().map_err(|_| ImportError::Unsupported {
            what: format!(
                "the digest {:?}",
                text.chars().take(100).collect::<String>()
            ),
            hint: "blobs are named by sha256",
        })?;
        Ok(Self {
            digest,
            size: descriptor.size(),
        })
    }

    /// Lets `consume` read the blob and then checks that what was read is what was named. A wrong
    /// digest explains whatever `consume` stumbled over, so it is reported first.
    pub(super) fn verified<T>(
        &self,
        layout: &Layout,
        consume: impl FnOnce(&mut Hashing<Take<Source<'_>>>) -> Result<T, ImportError>,
    ) -> Result<T, ImportError> {
        let source = layout.file(&format!("blobs/sha256/{}", self.digest.hex()))?;
        if source.length() != self.size {
            return Err(ImportError::BlobSize {
                digest: self.digest.clone(),
                expected: self.size,
                actual: source.length(),
            });
        }
        let mut reader = Hashing::new(source.take(self.size));
        let outcome = consume(&mut reader);
        if matches!(outcome, Err(ImportError::Cancelled)) {
            return outcome;
        }
        io::copy(&mut reader, &mut io::sink()).map_err(ImportError::Read)?;
        let actual = reader.digest();
        if actual != self.digest {
            return Err(ImportError::BlobDigest {
                expected: self.digest.clone(),
                actual,
            });
        }
        outcome
    }

    /// The whole blob, for JSON documents.
    pub(super) fn read_document(
        &self,
        layout: &Layout,
        limits: &Limits,
    ) -> Result<Vec<u8>, ImportError> {
        if self.size > limits.document_bytes {
            return Err(ImportError::Limit {
                what: "bytes in a JSON document",
                limit: limits.document_bytes,
            });
        }
        self.verified(layout, |reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(ImportError::Read)?;
            Ok(bytes)
        })
    }
}
