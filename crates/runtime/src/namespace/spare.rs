//! Directories of sandboxes that are gone, for those that come.
//!
//! A directory that goes gives its block back to the file system, which may wait for the disk with that,
//! and with it whoever makes the next one beside it. One that was emptied changes its name instead, to
//! one that says nothing of whose it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::private_directory;

/// Begins their names, before a number; no id of a sandbox begins so.
const SPARE: &str = ".spare-";
/// As many as may end while one begins.
const KEPT: usize = 16;

#[derive(Debug)]
pub(super) struct Spares {
    parent: PathBuf,
    /// `None`: none is kept any more.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    directories: Vec<PathBuf>,
    /// Of the next one. None comes twice.
    number: u64,
}

impl Spares {
    /// Those of `parent`, which is nobody else's. What an earlier server has left there goes.
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(parent)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(SPARE)) {
                fs::remove_dir_all(parent.join(name))?;
            }
        }
        Ok(Self {
            parent: parent.to_owned(),
            kept: Mutex::new(Some(Kept::default())),
        })
    }

    /// Makes a sandbox's directory, which is not there yet.
    pub(super) fn make(&self, directory: &Path) -> io::Result<()> {
        let spare = self.kept().as_mut().and_then(|kept| kept.directories.pop());
        match spare.map(|spare| fs::rename(spare, directory)) {
            Some(Ok(())) => Ok(()),
            // Somebody has tidied up there.
            Some(Err(_)) | None => private_directory(directory),
        }
    }

    /// Removes a sandbox's directory with all that is in it; one that is not there counts as removed.
    pub(super) fn remove(&self, directory: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        let mut kept = self.kept();
        let room = kept.as_mut().filter(|kept| kept.directories.len() < KEPT);
        let Some(kept) = room else {
            drop(kept);
            return fs::remove_dir(directory);
        };
        let spare = self.parent.join(format!("{SPARE}{}", kept.number));
        kept.number += 1;
        fs::rename(directory, &spare)?;
        kept.directories.push(spare);
        Ok(())
    }

    /// Removes those that are kept, and keeps no more.
    pub(super) fn close(&self) {
        for spare in self.kept().take().unwrap_or_default().directories {
            // What cannot go now goes with the next server.
            let _ = fs::remove_dir(spare);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).expect("list");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("entry").file_name();
        let names = entries.map(|entry| name(entry).into_string().expect("UTF-8"));
        names.collect()
    }

    #[test]
    fn a_directory_is_used_again_empty_and_private() {
        let temp = tempfile::tempdir().expect("directory");
        let spares = Spares::open(temp.path()).expect("open");
        let [one, two] = ["one", "two"].map(|name| temp.path().join(name));
        spares.make(&one).expect("make");
        let inode = fs::metadata(&one).expect("there").ino();
        fs::write(one.join("file"), "left").expect("file");
        fs::create_dir_all(one.join("deep/er")).expect("directory");
        symlink("/etc", one.join("link")).expect("link");
        spares.remove(&one).expect("remove");
        spares.remove(&one).expect("again");
        assert_eq!(
            names(temp.path()),
            [".spare-0"],
            "nothing of its sandbox, its name neither"
        );
        spares.make(&two).expect("make");
        let made = fs::metadata(&two).expect("there");
        assert_eq!(made.ino(), inode);
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
        assert!(names(&two).is_empty());
        assert!(Path::new("/etc").exists());
    }

    #[test]
    fn they_are_few_and_go_with_their_server_or_the_next() {
        let temp = tempfile::tempdir().expect("directory");
        let spares = Spares::open(temp.path()).expect("open");
        let all: Vec<_> = (0..=KEPT)
            .map(|n| temp.path().join(format!("{n}")))
            .collect();
        for one in &all {
            spares.make(one).expect("make");
        }
        for one in &all {
            spares.remove(one).expect("remove");
        }
        assert_eq!(names(temp.path()).len(), KEPT);
        let next = Spares::open(temp.path()).expect("open");
        assert!(names(temp.path()).is_empty());
        // The one that is still at work finds nothing there.
        spares.make(&all[0]).expect("make");
        spares.close();
        spares.remove(&all[0]).expect("remove");
        next.close();
        assert!(names(temp.path()).is_empty());
    }
}
