//! What a client has open.

use std::collections::HashMap;

use pinfold_engine::FileEntry;

use super::failure::Failure;
use super::reading::Reading;
use super::writing::Writing;

/// Files and directories of one channel at once.
pub(super) const HANDLES_MAX: usize = 64;
/// Of them, directories: each holds what it had when it was opened.
const DIRECTORIES_MAX: usize = 8;

pub(super) enum Open {
    Reading(Box<Reading>),
    Writing(Box<Writing>),
    Directory(Directory),
}

/// A directory as it was when it was opened.
pub(super) struct Directory {
    pub(super) entries: std::vec::IntoIter<FileEntry>,
    /// It held more than is listed at once.
    pub(super) truncated: bool,
}

#[derive(Default)]
pub(super) struct Handles {
    open: HashMap<String, Open>,
    next: u64,
}

impl Handles {
    /// Keeps it under a name of our own, if there is room.
    pub(super) fn add(&mut self, open: Open) -> Result<String, Failure> {
        let directories = self.open.values();
        let directories = directories.filter(|open| matches!(open, Open::Directory(_)));
        let crowded = matches!(open, Open::Directory(_)) && directories.count() >= DIRECTORIES_MAX;
        if crowded || self.open.len() >= HANDLES_MAX {
            return Err(Failure::new("too many files are open; close some"));
        }
        let name = self.next.to_string();
        self.next += 1;
        self.open.insert(name.clone(), open);
        Ok(name)
    }

    pub(super) fn get(&mut self, name: &str) -> Result<&mut Open, Failure> {
        self.open.get_mut(name).ok_or_else(unknown)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Open, Failure> {
        self.open.remove(name).ok_or_else(unknown)
    }
}

fn unknown() -> Failure {
    Failure::new("no such handle")
}
