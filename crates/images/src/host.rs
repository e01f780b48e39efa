//! The image `host`: this machine's `/usr` over a small generated tree, with no download.
//!
//! The tree is `/etc` by an allow-list, empty directories where programs expect them, and nothing
//! else of the machine: no keys, no home directories, no sockets. `machine` reads the machine
//! without following a link into a secret; `plan` decides what the tree holds and names it by a
//! hash of its sources; `build` writes it. Knows no sandboxes: the driver mounts what it says.

mod accounts;
mod allow;
mod build;
mod machine;
mod plan;
mod usr;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use pinfold_model::ImageConfig;
use pinfold_sys::process::DEFAULT_PATH;

use crate::error::StoreError;
use crate::store::{LayerStore, Staging};
use machine::Machine;
use plan::Plan;

const DEFAULT_WORKDIR: &str = "/workspace";

/// Makes the host image of one machine.
#[derive(Debug, Clone)]
pub struct HostImage {
    root: PathBuf,
}

/// The host image as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoot {
    /// The generated tree: the lowest layer of the sandbox's root. Absolute.
    pub layer_dir: PathBuf,
    /// What to bind over it, read-only; `/usr` comes first.
    pub binds: Vec<Bind>,
    pub config: ImageConfig,
}

/// One directory of the machine and where it shows in the sandbox. Both absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
}

/// The host image could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    #[error("this machine has no /usr directory")]
    NoUsr,
    #[error("the allowed part of /etc has more than {0} entries")]
    TooManyEntries(usize),
    #[error("the allowed part of /etc is larger than {0} bytes")]
    TooLarge(u64),
    #[error("{path} cannot be read", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} of the host tree cannot be written", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the layer store failed")]
    Store(#[from] StoreError),
}

impl From<HostError> for pinfold_model::Error {
    fn from(error: HostError) -> Self {
        match error {
            HostError::NoUsr => Self::new(pinfold_model::Code::Unsupported, error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl HostImage {
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// The host image of the machine whose root directory is `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The image as the machine is now. Its tree is made if the store has none of the same
    /// sources; that takes a few milliseconds otherwise too, for looking at them.
    ///
    /// # Errors
    /// See [`HostError`]; nothing is left in the store.
    pub fn ensure(&self, store: &LayerStore) -> Result<HostRoot, HostError> {
        let machine = Machine::open(&self.root)?;
        let (plan, binds) = plan::make(&machine)?;
        let dir = store.host_dir().join(plan.key());
        if !dir.is_dir() {
            make(&machine, &plan, store, &dir)?;
        }
        Ok(HostRoot {
            layer_dir: dir.join("fs"),
            binds,
            config: config(),
        })
    }
}

fn make(machine: &Machine, plan: &Plan, store: &LayerStore, dir: &Path) -> Result<(), HostError> {
    let staging = Staging::new(store)?;
    staging.make_tree()?;
    build::build(machine, plan, &staging.path().join("fs"))?;
    Ok(staging.commit(dir)?)
}

fn config() -> ImageConfig {
    ImageConfig {
        env: BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]),
        workdir: Some(DEFAULT_WORKDIR.to_owned()),
        ..ImageConfig::default()
    }
}
