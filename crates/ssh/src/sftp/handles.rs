//! What a client has open.

use std::collections::HashMap;
use std::sync::Arc;

use pinfold_engine::DirectoryCursor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;
use super::reading::Reading;
use super::writing::Writing;

pub(super) enum Open {
    Reading(Box<Reading>),
    Writing(Box<Writing>),
    Directory(Directory),
}

/// A directory that is listed, part by part: nothing of it is kept.
pub(super) struct Directory {
    pub(super) path: String,
    /// Where what was not listed yet begins.
    pub(super) next: Option<DirectoryCursor>,
}

/// Files and directories of one channel, within the room that its connection has for them.
pub(super) struct Handles {
    open: HashMap<String, (Open, Room)>,
    room: Arc<Semaphore>,
    next: u64,
}

/// For one more.
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Handles {
    pub(super) fn new(room: Arc<Semaphore>) -> Self {
        Self {
            open: HashMap::new(),
            room,
            next: 0,
        }
    }

    /// To be had before something is opened.
    pub(super) fn room(&self) -> Result<Room, Failure> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit
            .map_err(|_| Failure::new("the connection has too many files open; close some"))?;
        Ok(Room { _permit: permit })
    }

    /// Keeps it under a name of our own.
    pub(super) fn add(&mut self, open: Open, room: Room) -> String {
        let name = self.next.to_string();
        self.next += 1;
        self.open.insert(name.clone(), (open, room));
        name
    }

    pub(super) fn get(&mut self, name: &str) -> Result<&mut Open, Failure> {
        let open = self.open.get_mut(name);
        open.map(|(open, _)| open).ok_or_else(unknown)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<(Open, Room), Failure> {
        self.open.remove(name).ok_or_else(unknown)
    }

    /// Whether a file is open that is written.
    pub(super) fn is_writing(&self) -> bool {
        let mut open = self.open.values();
        open.any(|(open, _)| matches!(open, Open::Writing(_)))
    }
}

fn unknown() -> Failure {
    Failure::new("no such handle")
}
