//! Pulling images from registries (opencontainers/distribution-spec, "Pull").
//!
//! ```text
//! manifest --(index? choose the platform)--> configuration, layers (some at a time, resumed)
//!   -> a layout in staging -> the import of layouts, which verifies all of it once more
//! ```
//! A registry is hostile by assumption, like the archives that come from it: every body has a
//! bound, every blob its digest, and where the registry sends us is checked (`egress`). Nothing
//! of a pull that ends early stays. Knows no image records and no names given to images.

mod addresses;
mod auth;
mod credentials;
mod download;
mod egress;
mod error;
mod manifest;
mod platform;
mod progress;
mod pull;
mod reference;
mod session;

pub use credentials::{CredentialFile, CredentialFileError, Credentials};
pub use egress::Reach;
pub use error::PullError;
pub use platform::Platform;
pub use progress::{LayerProgress, PullPhase, PullProgress};
pub use pull::{PullRequest, Pulled, Puller};
pub use reference::{Reference, ReferenceError};
