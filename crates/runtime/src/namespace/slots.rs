//! Slots: the machine-wide numbers that no two live sandboxes share.
//!
//! A slot decides a sandbox's range of user ids and its address. Several servers and embedded runs
//! can share a machine, so slots are claimed in one directory of the machine, not of a server: a
//! symlink `SLOT -> sandbox directory`, made atomically. A claim whose directory is gone is stale.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// Ids from 1,073,741,824 up: above every range that distributions hand to users and containers.
const FIRST_ID: u32 = 1 << 30;
const RANGE: u32 = 1 << 16;
/// All the ranges below 2^31, where the kernel's ids begin to look negative to some programs.
pub(super) const SLOTS: u32 = 1 << 14;

/// A claimed slot; it stays claimed, also over this process's end, until released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn id_base(self) -> u32 {
        FIRST_ID + self.0 * RANGE
    }
}

#[derive(Debug, Clone)]
pub(super) struct Slots {
    directory: PathBuf,
}

impl Slots {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Claims a free slot for the sandbox that lives in `owner`, which must exist: a claim of a
    /// missing directory is what makes it stale.
    pub(super) fn claim(&self, owner: &Path) -> io::Result<Slot> {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        let start = (hasher.finish() % u64::from(SLOTS)) as u32;
        for step in 0..SLOTS {
            let slot = Slot((start + step) % SLOTS);
            if self.try_claim(slot, owner)? {
                return Ok(slot);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "all 16,384 sandbox slots are taken",
        ))
    }

    fn try_claim(&self, slot: Slot, owner: &Path) -> io::Result<bool> {
        let path = self.path(slot);
        match std::os::unix::fs::symlink(owner, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_stale(&path) {
                    self.clear_stale(slot, &path)?;
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks again under a lock that everybody who clears takes: between a look and an unlink
    /// without one, the slot could have become somebody's live claim.
    fn clear_stale(&self, slot: Slot, path: &Path) -> io::Result<()> {
        let lock = File::create(self.directory.join("lock"))?;
        lock.lock()?;
        if is_stale(path) && !in_use(slot)? {
            std::fs::remove_file(path)
        } else {
            Ok(())
        }
    }

    /// Claims the very slot that `owner` had: a reboot ends all claims, and a stopped sandbox's disk
    /// holds ids of its slot. `false`: somebody else has it by now.
    pub(super) fn keep(&self, slot: Slot, owner: &Path) -> io::Result<bool> {
        Ok(self.is_of(slot, owner)
            || self.try_claim(slot, owner)?
            // A stale claim was cleared by the first look.
            || self.try_claim(slot, owner)?)
    }

    pub(super) fn is_of(&self, slot: Slot, owner: &Path) -> bool {
        std::fs::read_link(self.path(slot)).is_ok_and(|claimed| claimed == owner)
    }

    /// Frees the slot if it still belongs to `owner`.
    pub(super) fn release(&self, slot: Slot, owner: &Path) -> io::Result<()> {
        if self.is_of(slot, owner) {
            std::fs::remove_file(self.path(slot))?;
        }
        Ok(())
    }

    /// Frees whatever `owner` has. It looks at all claims of the machine: for an owner whose boot was
    /// cut short before its slot was recorded.
    pub(super) fn release_of(&self, owner: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            if let Some(slot) = number.and_then(Self::from_number) {
                self.release(slot, owner)?;
            }
        }
        Ok(())
    }

    pub(super) fn from_number(number: u32) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.directory.join(slot.0.to_string())
    }
}

fn is_stale(claim: &Path) -> bool {
    std::fs::read_link(claim).is_ok_and(|owner| !owner.exists())
}

/// Whether some process still has ids of the slot's range: somebody may have removed the directory
/// of a sandbox that runs.
fn in_use(slot: Slot) -> io::Result<bool> {
    for entry in std::fs::read_dir("/proc")? {
        let map = entry?.path().join("uid_map");
        // Not a process, or one that has just ended.
        let Ok(map) = std::fs::read_to_string(map) else {
            continue;
        };
        let base = map
            .split_whitespace()
            .nth(1)
            .and_then(|base| base.parse::<u32>().ok());
        if base == Some(slot.id_base()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_owners_share_a_slot_and_dead_owners_give_theirs_back() {
        let temp = tempfile::tempdir().expect("directory");
        let slots = Slots::open(temp.path().join("slots")).expect("open");
        let owners: Vec<_> = (0..50)
            .map(|n| temp.path().join(format!("owner{n}")))
            .collect();
        let mut seen = HashSet::new();
        for owner in &owners {
            std::fs::create_dir(owner).expect("owner");
            assert!(seen.insert(slots.claim(owner).expect("claim").number()));
        }
        for owner in &owners {
            std::fs::remove_dir(owner).expect("owner ends");
        }
        // Stale claims are given up as they are met.
        let again = temp.path().join("owner7");
        std::fs::create_dir(&again).expect("owner");
        slots.claim(&again).expect("claim");
        slots.claim(&again).expect("claim");
    }

    #[test]
    fn a_slot_whose_claim_a_reboot_ended_is_its_owners_until_another_has_it() {
        let temp = tempfile::tempdir().expect("directory");
        let slots = Slots::open(temp.path().join("slots")).expect("open");
        let [one, two] = ["one", "two"].map(|name| temp.path().join(name));
        for owner in [&one, &two] {
            std::fs::create_dir(owner).expect("owner");
        }
        let slot = slots.claim(&one).expect("claim");
        std::fs::remove_file(slots.path(slot)).expect("as by a reboot");
        assert!(!slots.is_of(slot, &one));
        assert!(slots.keep(slot, &one).expect("keep"), "nobody else's");
        assert!(slots.is_of(slot, &one));
        assert!(!slots.keep(slot, &two).expect("keep"), "another's");
        std::fs::remove_dir(&one).expect("it ends");
        assert!(slots.keep(slot, &two).expect("keep"), "a stale claim");
    }

    #[test]
    fn a_slot_is_only_released_by_its_owner() {
        let temp = tempfile::tempdir().expect("directory");
        let slots = Slots::open(temp.path().join("slots")).expect("open");
        let slot = slots.claim(temp.path()).expect("claim");
        slots
            .release(slot, Path::new("/elsewhere"))
            .expect("release");
        assert!(!slots.try_claim(slot, temp.path()).expect("try"));
        slots.release(slot, temp.path()).expect("release");
        assert!(slots.try_claim(slot, temp.path()).expect("try"));
    }

    #[test]
    fn all_that_an_owner_has_can_be_released_and_nothing_else() {
        let temp = tempfile::tempdir().expect("directory");
        let slots = Slots::open(temp.path().join("slots")).expect("open");
        let [one, two] = ["one", "two"].map(|name| temp.path().join(name));
        let mine = slots.claim(&one).expect("claim");
        let theirs = slots.claim(&two).expect("claim");
        slots.release_of(&one).expect("release");
        assert!(!slots.is_of(mine, &one));
        assert!(slots.is_of(theirs, &two));
    }
}
