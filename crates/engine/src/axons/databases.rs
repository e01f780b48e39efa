//! Where the databases of axons are: a file each, named after its axon. With PostgreSQL as the store they
//! are files of this machine all the same.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pinfold_model::AxonId;
use pinfold_sql::{Bounds, Database, TooLate};

const EXTENSION: &str = "db";
/// What a database may always have: enough to be opened, and to be told that there is no more.
const LEAST_BYTES: u64 = 64 << 10;

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
        Database::new(self.file(id), Bounds::default())
    }

    /// The same, with no more room than `together` leaves beside `others`.
    pub(crate) fn beside(&self, id: &AxonId, others: &[AxonId], together: u64) -> Database {
        let mut bounds = Bounds::default();
        if (others.len() as u64).saturating_mul(bounds.database_bytes) > together {
            let others = others.iter().filter(|other| *other != id);
            let used: u64 = others.map(|other| self.bytes(other)).sum();
            let room = together.saturating_sub(used).max(LEAST_BYTES);
            bounds.database_bytes = bounds.database_bytes.min(room);
        }
        Database::new(self.file(id), bounds)
    }

    /// Zero for one without a database.
    fn bytes(&self, id: &AxonId) -> u64 {
        let known = std::fs::metadata(self.file(id));
        known.map_or(0, |file| file.len())
    }

    fn file(&self, id: &AxonId) -> PathBuf {
        self.directory.join(format!("{id}.{EXTENSION}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_sql::{SqlError, Statement};

    fn sql(text: &str) -> Statement {
        Statement {
            sql: text.to_owned(),
            params: Vec::new(),
        }
    }

    #[test]
    fn databases_have_as_much_room_as_others_leave() {
        let place = tempfile::tempdir().expect("directory");
        let databases = Databases::open(place.path()).expect("databases");
        let _ = Databases::bound_memory();
        let all: Vec<_> = (0..3).map(|_| AxonId::generate()).collect();
        let together = 1 << 20;
        let put = |id: &AxonId, kib: u32| {
            let database = databases.beside(id, &all, together);
            let made = sql("CREATE TABLE IF NOT EXISTS t (b)");
            let text = format!("INSERT INTO t VALUES (zeroblob({kib} * 1024))");
            database.batch(&[made, sql(&text)]).map(drop)
        };
        put(&all[0], 800).expect("there is room");
        let full = put(&all[1], 800);
        assert!(matches!(full, Err((1, SqlError::Full(_)))), "{full:?}");
        put(&all[1], 20).expect("there is always a little");
        put(&all[0], 800).expect_err("it is bound as well");
        databases.of(&all[0]).remove().expect("removed");
        put(&all[1], 800).expect("there is room again");
    }
}
