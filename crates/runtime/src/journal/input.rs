//! What commands are to read from the start, kept beside their journals until they have it.
//!
//! One file a command, `ID.input`, there before the command is recorded and gone after its end is.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use pinfold_model::CommandId;

use super::Journals;

pub(super) const SUFFIX: &str = ".input";

impl Journals {
    /// Keeps `bytes` for a command. Only afterwards may the command be recorded, so nobody ever
    /// meets a part of them.
    pub fn keep_input(&self, id: &CommandId, bytes: &[u8]) -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.input(id))?;
        file.write_all(bytes)
    }

    /// What was kept for a command; `None` where nothing is (any more).
    pub fn read_input(&self, id: &CommandId) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.input(id)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what was kept; nothing counts as removed.
    pub fn remove_input(&self, id: &CommandId) -> io::Result<()> {
        match fs::remove_file(self.input(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The commands for which something is kept.
    pub fn list_inputs(&self) -> io::Result<Vec<CommandId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            ids.extend(id.and_then(|id| id.parse().ok()));
        }
        Ok(ids)
    }

    fn input(&self, id: &CommandId) -> PathBuf {
        self.directory().join(format!("{id}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_kept_until_it_is_removed_and_found_by_the_list() {
        let temp = tempfile::tempdir().expect("directory");
        let journals = Journals::open(temp.path()).expect("open");
        let id = CommandId::generate();
        assert_eq!(journals.read_input(&id).expect("read"), None);
        journals.keep_input(&id, b"\0bytes").expect("keep");
        let kept = journals.read_input(&id).expect("read");
        assert_eq!(kept.as_deref(), Some(&b"\0bytes"[..]));
        let mode = fs::metadata(journals.input(&id))
            .expect("there")
            .permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
        assert_eq!(journals.list().expect("list"), [id.clone()]);
        assert_eq!(journals.list_inputs().expect("list"), [id.clone()]);
        journals.remove_input(&id).expect("remove");
        journals.remove_input(&id).expect("again");
        assert!(journals.list().expect("list").is_empty());
        journals.keep_input(&id, b"x").expect("keep");
        journals
            .remove(&id)
            .expect("the journal goes with all of it");
        assert_eq!(journals.read_input(&id).expect("read"), None);
    }
}
