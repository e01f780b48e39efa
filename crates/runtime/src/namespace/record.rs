//! What a sandbox's directory remembers of its boot, for the next server.
//!
//! Written before the guest is started where it names what has to be undone, and completed after.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process::Process;

const FILE: &str = "boot.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `None` without root: such sandboxes have one id.
    pub(super) slot: Option<u32>,
    /// Not set between claiming and having started.
    pub(super) process: Option<Process>,
    pub(super) die_with_host: bool,
    /// The machine may have a link of this slot.
    pub(super) link: bool,
}

impl Record {
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("boot.json.new");
        std::fs::write(&temporary, serde_json::to_vec(self)?)?;
        std::fs::rename(temporary, directory.join(FILE))
    }

    /// `None` where there is no (readable) record: the sandbox never got as far as that.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(directory.join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_damaged_ones_count_as_absent() {
        let temp = tempfile::tempdir().expect("directory");
        assert_eq!(Record::read(temp.path()).expect("absent"), None);
        let record = Record {
            slot: Some(3),
            process: None,
            die_with_host: true,
            link: false,
        };
        record.write(temp.path()).expect("write");
        assert_eq!(Record::read(temp.path()).expect("read"), Some(record));
        std::fs::write(temp.path().join(FILE), b"{").expect("damage");
        assert_eq!(Record::read(temp.path()).expect("damaged"), None);
    }
}
