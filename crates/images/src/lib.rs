//! Images on disk: a content-addressed store of unpacked layers, safe import of root-filesystem
//! tars and OCI layouts, and the generated `host` image.
//!
//! Archives are hostile by assumption. Nothing here talks to a network or a database: the caller
//! keeps the image records and holds the [`Lease`] of what it was given until they are written.
//! Every call blocks; async callers use a blocking task.

mod codec;
mod detect;
mod error;
mod host;
mod import;
mod limits;
mod oci;
mod progress;
mod refusal;
mod remove;
mod rootfs;
mod store;
mod unpack;

pub use error::{ImportError, StoreError};
pub use host::{Bind, HostError, HostImage, HostRoot};
pub use import::{Imported, Importer};
pub use limits::Limits;
pub use progress::{OnProgress, Progress};
pub use refusal::Refusal;
pub use store::{LayerStore, Lease, Removed, Sweep};
pub use unpack::{Ownership, Report};
