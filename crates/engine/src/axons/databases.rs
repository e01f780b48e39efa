//! Where the databases of axons are: a file each, named after its axon. With PostgreSQL as the store they
//! are files of this machine all the same.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pinfold_model::AxonId;
use pinfold_sql::{Bounds, Database, TooLate};

const EXTENSION: &str = "db";

#[derive(Debug, Clone)]
pub struct Databases {
    directory: PathBuf,
}

impl Databases {
    /// Opens or makes the directory, for this user alone.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700))?;
        let directory = directory.canonicalize()?;
        Ok(Self { directory })
    }

    /// Bounds what SQL of others takes of memory. To be called at the start of a process, before a store is
    /// opened; without it such SQL is refused.
    pub fn bound_memory() -> Result<(), TooLate> {
        pinfold_sql::bound_memory()
    }

    pub(crate) fn of(&self, id: &AxonId) -> Database {
        let file = self.directory.join(format!("{id}.{EXTENSION}"));
        Database::new(file, Bounds::default())
    }

    /// Those that have a database.
    pub(crate) fn known(&self) -> io::Result<Vec<AxonId>> {
        let mut known = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| {
                let id = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
                id.parse().ok()
            });
            known.extend(id);
        }
        Ok(known)
    }
}
