//! The layer store: unpacked layers named by their content, shared by any number of processes.
//!
//! ```text
//! DIR/                 0700: setuid files of images must not be reachable by the host's users
//!   layers/HEX/fs/     the tree; HEX is the sha256 of the uncompressed tar (OCI's diff id)
//!   layers/HEX/layer.json
//!   host/HEX/          trees of the host image
//!   tmp/RANDOM/        work in progress, flock'ed by its process; the unlocked are leftovers
//!   lease.lock         shared: an import whose image is not recorded yet; exclusive: a sweep
//!   tmp.lock           held for a moment to make or clean a directory of tmp/
//! ```
//!
//! A layer appears by one rename, so what is below `layers/` is always whole. Knows no images and
//! no archive format.

mod layer;
mod lock;
mod staging;
mod sweep;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pinfold_model::Digest;

pub use lock::Lease;
pub use sweep::{Removed, Sweep};

pub(crate) use layer::LayerRecord;
pub(crate) use staging::Staging;

use crate::error::StoreError;

/// A directory of unpacked layers. Cheap to clone; opening it twice is fine.
#[derive(Debug, Clone)]
pub struct LayerStore {
    root: PathBuf,
}

impl LayerStore {
    /// Opens the store in `dir`, making it where it is missing, and removes what dead processes
    /// left half done.
    ///
    /// # Errors
    /// The directory cannot be made or belongs to someone else.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_private(dir).map_err(StoreError::new("making the directory"))?;
        let root = fs::canonicalize(dir).map_err(StoreError::new("finding the directory"))?;
        for sub in ["layers", "host", "tmp"] {
            make_private(&root.join(sub)).map_err(StoreError::new("making a directory"))?;
        }
        let store = Self { root };
        staging::remove_leftovers(&store)?;
        Ok(store)
    }

    /// The layer's tree, if it is here. Absolute, and stable while something refers to the layer.
    #[must_use]
    pub fn path(&self, layer: &Digest) -> Option<PathBuf> {
        let tree = self.layer_dir(layer).join("fs");
        tree.is_dir().then_some(tree)
    }

    /// Sum of the sizes of the layer's files, in bytes; `None` if it is not here.
    ///
    /// # Errors
    /// The layer's record cannot be read.
    pub fn size(&self, layer: &Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.record(layer)?.map(|record| record.report.size_bytes))
    }

    /// Every layer here, in no order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn layers(&self) -> Result<Vec<Digest>, StoreError> {
        let failed = "listing layers";
        let mut layers = Vec::new();
        for entry in fs::read_dir(self.layers_dir()).map_err(StoreError::new(failed))? {
            let name = entry.map_err(StoreError::new(failed))?.file_name();
            if let Some(digest) = name
                .to_str()
                .and_then(|hex| format!("sha256:{hex}").parse().ok())
            {
                layers.push(digest);
            }
        }
        Ok(layers)
    }

    /// Keeps sweeps away until it is dropped; waits while one is under way.
    ///
    /// # Errors
    /// The lock cannot be opened.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        Lease::shared(&self.root.join("lease.lock"))
    }

    /// Starts a sweep, or `None` while an import's result is not recorded yet; try again later.
    /// Imports wait while a sweep lives, so the caller looks up what is referenced and no more.
    ///
    /// # Errors
    /// The lock cannot be opened.
    pub fn sweep(&self) -> Result<Option<Sweep<'_>>, StoreError> {
        Sweep::start(self)
    }

    pub(crate) fn record(&self, layer: &Digest) -> Result<Option<LayerRecord>, StoreError> {
        LayerRecord::read(&self.layer_dir(layer))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn host_dir(&self) -> PathBuf {
        self.root.join("host")
    }

    fn layers_dir(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn layer_dir(&self, layer: &Digest) -> PathBuf {
        self.layers_dir().join(layer.hex())
    }
}

/// A directory that only its owner, who is us, can enter.
fn make_private(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::metadata(dir)?;
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to another user",
        ));
    }
    if meta.mode() & 0o7777 != 0o700 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
