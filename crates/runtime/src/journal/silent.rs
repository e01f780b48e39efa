//! Ends of commands that wrote nothing.
//!
//! Many commands do, and a file of its own for each End would be the dearest step of them all: a new
//! inode, and one more for the directory's readers. Their Ends stand in turns in one small file, where
//! each is found by the next server until the command's record says the same.
//!
//! ```text
//! offset 0      3        4           12             20      21              60         64
//!        magic, version, micros i64, End's payload, len u8, id, then zeros, check u32
//! ```
//! Integers are little-endian; `check` is the CRC-32 of what is before it, so a slot that was written
//! in halves counts as empty.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinfold_model::{CommandId, CommandState, Time};

use super::format::{self, END_BYTES};
use super::status::Mark;

/// No id: journals have other names.
const NAME: &str = "silent";
const MAGIC: [u8; 3] = *b"PJS";
const VERSION: u8 = 1;
const SLOT_BYTES: usize = 64;
/// Far more than end between an End and its record.
const SLOTS: usize = 4096;

const VERSION_AT: usize = 3;
const TIME_AT: usize = 4;
const END_AT: usize = 12;
const LEN_AT: usize = 20;
const ID_AT: usize = 21;
const CHECK_AT: usize = 60;

/// The last [`SLOTS`] of them.
#[derive(Debug)]
pub(super) struct Silent {
    path: PathBuf,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Made with the first End.
    file: Option<File>,
    ends: HashMap<CommandId, Mark>,
    /// Whose End each slot holds.
    slots: Vec<Option<CommandId>>,
    next: usize,
}

impl Silent {
    /// Reads what an earlier server has left in `dir`.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let mut table = Table::default();
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => {
                table.read(&file)?;
                table.file = Some(file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let table = Mutex::new(table);
        Ok(Self { path, table })
    }

    /// Keeps the End of a journal that holds nothing else. Whether it is kept: an id that no slot
    /// has room for is not.
    pub(super) fn put(&self, id: &CommandId, time: Time, state: CommandState) -> io::Result<bool> {
        let Some(slot) = encode(id, time, state) else {
            return Ok(false);
        };
        let mut table = self.table();
        let at = table.next;
        let file = match &mut table.file {
            Some(file) => file,
            none => none.insert(self.make()?),
        };
        file.write_all_at(&slot, (at * SLOT_BYTES) as u64)?;
        table.hold(at, id, mark(time, state));
        table.next = (at + 1) % SLOTS;
        Ok(true)
    }

    pub(super) fn get(&self, id: &CommandId) -> Option<Mark> {
        self.table().ends.get(id).copied()
    }

    /// The journal is removed. A later server may find its slot; it says nothing that the record
    /// does not.
    pub(super) fn forget(&self, id: &CommandId) {
        self.table().ends.remove(id);
    }

    fn make(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(&self.path)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn read(&mut self, file: &File) -> io::Result<()> {
        let mut bytes = Vec::new();
        file.take((SLOTS * SLOT_BYTES) as u64)
            .read_to_end(&mut bytes)?;
        let mut newest = None;
        for (at, slot) in bytes.as_chunks::<SLOT_BYTES>().0.iter().enumerate() {
            if let Some((id, time, state)) = decode(slot) {
                self.hold(at, &id, mark(time, state));
                newest = newest.max(Some((time, at)));
            }
        }
        self.next = newest.map_or(0, |(_, at)| (at + 1) % SLOTS);
        Ok(())
    }

    fn hold(&mut self, at: usize, id: &CommandId, mark: Mark) {
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        if let Some(before) = self.slots[at].replace(id.clone()) {
            self.ends.remove(&before);
        }
        self.ends.insert(id.clone(), mark);
    }
}

/// The only record of a journal.
pub(super) const fn mark(time: Time, state: CommandState) -> Mark {
    Mark {
        seq: 1,
        time,
        end: Some(state),
    }
}

fn encode(id: &CommandId, time: Time, state: CommandState) -> Option<[u8; SLOT_BYTES]> {
    let id = id.as_str().as_bytes();
    if id.len() > CHECK_AT - ID_AT {
        return None;
    }
    let mut slot = [0; SLOT_BYTES];
    slot[..VERSION_AT].copy_from_slice(&MAGIC);
    slot[VERSION_AT] = VERSION;
    slot[TIME_AT..END_AT].copy_from_slice(&time.as_microsecond().to_le_bytes());
    slot[END_AT..LEN_AT].copy_from_slice(&format::encode_end(state)?);
    slot[LEN_AT] = u8::try_from(id.len()).ok()?;
    slot[ID_AT..ID_AT + id.len()].copy_from_slice(id);
    let check = crc32fast::hash(&slot[..CHECK_AT]);
    slot[CHECK_AT..].copy_from_slice(&check.to_le_bytes());
    Some(slot)
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<(CommandId, Time, CommandState)> {
    let check = crc32fast::hash(&slot[..CHECK_AT]);
    if slot[..VERSION_AT] != MAGIC
        || slot[VERSION_AT] != VERSION
        || slot[CHECK_AT..] != check.to_le_bytes()
    {
        return None;
    }
    let micros = i64::from_le_bytes(slot[TIME_AT..END_AT].try_into().ok()?);
    let state = format::decode_end(&slot[END_AT..END_AT + END_BYTES])?;
    let id = slot.get(ID_AT..ID_AT + usize::from(slot[LEN_AT]))?;
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    Some((id, Time::from_microsecond(micros).ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::ExitStatus;

    const OK: CommandState = CommandState::Exited(ExitStatus::Code(0));

    fn at(micros: i64) -> Time {
        Time::from_microsecond(micros).expect("in range")
    }

    #[test]
    fn ends_are_found_again_and_go_on_behind_the_newest() {
        let temp = tempfile::tempdir().expect("directory");
        let silent = Silent::open(temp.path()).expect("open");
        let ids: Vec<_> = (0..3).map(|_| CommandId::generate()).collect();
        for (id, micros) in ids.iter().zip(10..) {
            assert!(silent.put(id, at(micros), OK).expect("put"));
        }
        let again = Silent::open(temp.path()).expect("open");
        for (id, micros) in ids.iter().zip(10..) {
            assert_eq!(again.get(id), Some(mark(at(micros), OK)));
        }
        let later = CommandId::generate();
        assert!(again.put(&later, at(20), CommandState::Lost).expect("put"));
        let last = Silent::open(temp.path()).expect("open");
        assert!(
            ids.iter().all(|id| last.get(id).is_some()),
            "none is overwritten"
        );
        assert_eq!(last.get(&later), Some(mark(at(20), CommandState::Lost)));
    }

    #[test]
    fn the_oldest_makes_room_and_memory_is_bounded() {
        let temp = tempfile::tempdir().expect("directory");
        let silent = Silent::open(temp.path()).expect("open");
        let ids: Vec<_> = (0..=SLOTS).map(|_| CommandId::generate()).collect();
        for (id, micros) in ids.iter().zip(0..) {
            silent.put(id, at(micros), OK).expect("put");
        }
        assert_eq!(silent.get(&ids[0]), None);
        assert!(ids[1..].iter().all(|id| silent.get(id).is_some()));
        assert_eq!(silent.table().ends.len(), SLOTS);
        let size = std::fs::metadata(temp.path().join(NAME))
            .expect("there")
            .len();
        assert_eq!(size, (SLOTS * SLOT_BYTES) as u64);
    }

    #[test]
    fn what_was_written_in_halves_or_is_foreign_counts_as_empty() {
        let temp = tempfile::tempdir().expect("directory");
        let silent = Silent::open(temp.path()).expect("open");
        let id = CommandId::generate();
        silent.put(&id, at(1), OK).expect("put");
        let whole = std::fs::read(temp.path().join(NAME)).expect("read");
        for byte in 0..SLOT_BYTES {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1;
            std::fs::write(temp.path().join(NAME), &damaged).expect("write");
            assert_eq!(
                Silent::open(temp.path()).expect("open").get(&id),
                None,
                "{byte}"
            );
            std::fs::write(temp.path().join(NAME), &whole[..byte]).expect("write");
            assert_eq!(
                Silent::open(temp.path()).expect("open").get(&id),
                None,
                "{byte}"
            );
        }
        let long = format!("cmd_{}", "x".repeat(40)).parse().expect("an id");
        assert!(!silent.put(&long, at(1), OK).expect("not kept here"));
    }
}
