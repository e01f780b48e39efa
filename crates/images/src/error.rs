//! What can go wrong with an import or the store, and how use cases show it.

use std::io;

use pinfold_model::{Code, Digest, Error};

use crate::progress::Cancelled;
use crate::refusal::Refusal;

/// An import that did not happen. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    #[error("entry {entry}: {refusal}")]
    Refused { entry: String, refusal: Refusal },
    #[error("malformed archive near {near}: {problem}")]
    Malformed { near: String, problem: &'static str },
    #[error("the archive has more {what} than the limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("the archive holds no entry")]
    Empty,
    #[error("{what} is not supported: {hint}")]
    Unsupported { what: String, hint: &'static str },
    #[error("no image {wanted}; the layout has {present}")]
    NoSuchImage { wanted: String, present: String },
    #[error("there is no image for {wanted}; there is: {present}")]
    OtherPlatform { wanted: String, present: String },
    #[error("the layout holds several images; name one of {present}")]
    Ambiguous { present: String },
    #[error("{document} of the layout: {problem}")]
    Layout { document: String, problem: String },
    #[error("blob {digest} is {actual} bytes, its descriptor says {expected}")]
    BlobSize {
        digest: Digest,
        expected: u64,
        actual: u64,
    },
    #[error("the content of blob {expected} has digest {actual}")]
    BlobDigest { expected: Digest, actual: Digest },
    #[error("layer {expected} unpacks to {actual}")]
    DiffId { expected: Digest, actual: Digest },
    #[error("the source cannot be read or decompressed")]
    Read(#[source] io::Error),
    #[error("entry {entry} cannot be written")]
    Write {
        entry: String,
        #[source]
        source: io::Error,
    },
    #[error("the layer store failed")]
    Store(#[from] StoreError),
    #[error("the import was cancelled")]
    Cancelled,
}

/// The store's own files could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("{action} in the layer store")]
pub struct StoreError {
    pub(crate) action: &'static str,
    #[source]
    pub(crate) source: io::Error,
}

impl StoreError {
    pub(crate) fn new(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, source }
    }

    pub(crate) fn errno(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self {
            action,
            source: errno.into(),
        }
    }
}

impl ImportError {
    /// A failure while reading: ours where a decoder only carried it, else the source's.
    pub(crate) fn read(error: io::Error) -> Self {
        match error.get_ref() {
            Some(inner) if inner.is::<Cancelled>() => Self::Cancelled,
            _ => Self::Read(error),
        }
    }

    /// The archive or layout is at fault, not this machine.
    fn is_the_sources_fault(&self) -> bool {
        match self {
            Self::Read(error) => matches!(
                error.kind(),
                io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::UnexpectedEof
            ),
            Self::Write { .. } | Self::Store(_) | Self::Cancelled => false,
            _ => true,
        }
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        if error.is_the_sources_fault() {
            let message = match &error {
                ImportError::Read(cause) => format!("{error}: {cause}"),
                _ => error.to_string(),
            };
            return Error::new(Code::InvalidImage, message);
        }
        match &error {
            ImportError::Write { source, .. } if is_full(source) => {
                Error::new(Code::Unavailable, "the layer store's disk is full").because(error)
            }
            ImportError::Read(cause) => {
                let message = format!("{error}: {}", cause.kind());
                Error::new(Code::InvalidArgument, message).because(error)
            }
            ImportError::Cancelled => Error::new(Code::Unavailable, error.to_string()),
            _ => Error::internal(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::internal(error)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A name from an archive as an error may show it: one line, no control bytes, bounded.
pub(crate) fn show(name: &[u8]) -> String {
    const SHOWN_MAX_CHARS: usize = 200;
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .flat_map(char::escape_debug)
        .take(SHOWN_MAX_CHARS + 1)
        .collect();
    if text.chars().count() > SHOWN_MAX_CHARS {
        let cut: String = text.chars().take(SHOWN_MAX_CHARS).collect();
        return format!("\"{cut}...\"");
    }
    format!("\"{text}\"")
}
