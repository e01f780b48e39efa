//! All journals of a directory: one file for each command that wrote something, named after its id.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinfold_model::{CommandId, CommandState, Time};

use super::handle::{Found, Journal};
use super::input;
use super::reader::JournalReader;
use super::scan::{Scan, ScanError, scan};
use super::silent::{self, Silent};
use super::status::{Feed, Status};
use super::tail;
use super::writer::JournalWriter;

/// Says what time it is. Injected for tests.
pub type Clock = fn() -> Time;

/// Ended journals whose index and descriptor are kept at hand.
const AT_HAND_MAX: usize = 64;

/// The journals of one directory. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Journals {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    clock: Clock,
    null: File,
    silent: Silent,
    table: Mutex<Table>,
}

/// Lives as long as somebody needs it: those being written, and the last few that have ended.
#[derive(Debug, Default)]
struct Table {
    journals: HashMap<CommandId, Arc<Journal>>,
    /// Ended ones in `journals`, the longest unused first.
    ended: VecDeque<CommandId>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no journal {0}")]
    NotFound(CommandId),
    /// `create` for a command that has a journal.
    #[error("journal {0} exists")]
    Exists(CommandId),
    /// It has a writer.
    #[error("journal {0} is being written")]
    InUse(CommandId),
    #[error("journal {0} was written by another version of Pinfold")]
    Foreign(CommandId),
    #[error("journal {id}: {step} failed")]
    Io {
        id: CommandId,
        step: &'static str,
        #[source]
        source: io::Error,
    },
}

impl Journals {
    /// Uses `dir`, which is made if need be. One process at a time may write in it: the owner of
    /// the data directory sees to that.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::with_clock(dir, Time::now)
    }

    /// As [`Self::open`], with times from `clock`.
    pub fn with_clock(dir: &Path, clock: Clock) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        let silent = Silent::open(dir)?;
        let table = Mutex::default();
        Ok(Self {
            shelf: Arc::new(Shelf {
                dir: dir.to_owned(),
                clock,
                null,
                silent,
                table,
            }),
        })
    }

    /// Begins the journal of a new command, with room for `cap_bytes` of output. The file is made
    /// with the first byte of output; of a command that writes none it takes nothing.
    pub fn create(&self, id: &CommandId, cap_bytes: u64) -> Result<JournalWriter, OpenError> {
        let mut table = self.shelf.table();
        let is_known = table.journals.contains_key(id) || self.shelf.silent.get(id).is_some();
        if is_known || self.shelf.file(id)?.is_some() {
            return Err(OpenError::Exists(id.clone()));
        }
        let journal = Arc::new(Journal::claimed(id.clone(), self.shelf.path(id)));
        table.journals.insert(id.clone(), Arc::clone(&journal));
        drop(table);
        Ok(JournalWriter::new(
            journal,
            Arc::clone(&self.shelf),
            cap_bytes,
        ))
    }

    /// Goes on with the journal of a command that an earlier writer, perhaps killed, has left: the
    /// unfinished end of its file is put right, and numbers go on where they stopped. A journal
    /// that has no file yet begins empty.
    pub fn reopen(&self, id: &CommandId, cap_bytes: u64) -> Result<JournalWriter, OpenError> {
        let journal = self.shelf.claim(id)?;
        let found = self
            .shelf
            .recover(id)
            .inspect_err(|_| self.shelf.unclaim(&journal))?;
        journal.resume(found.behind(journal.status().silent_end()));
        Ok(JournalWriter::new(
            journal,
            Arc::clone(&self.shelf),
            cap_bytes,
        ))
    }

    /// The journal of a command: one being written, or the file of one that was. Reading what no
    /// writer has reopened shows all that is there, changes nothing, and does not wait for more.
    pub fn get(&self, id: &CommandId) -> Result<Arc<Journal>, OpenError> {
        if let Some(journal) = self.shelf.table().used(id) {
            return Ok(journal);
        }
        // Outside the lock: hopping over the headers of a long journal takes its time.
        match self.shelf.read(id)? {
            // A file that was begun and holds nothing tells no more than none.
            found if found.is_empty() => Err(OpenError::NotFound(id.clone())),
            found => Ok(self.at_hand(id, found)),
        }
    }

    /// The journal of a command that ended so, as its record says, without having written anything.
    /// Of those that ended long ago nothing else tells: for [`OpenError::NotFound`].
    pub fn silent(&self, id: &CommandId, ended_at: Time, state: CommandState) -> Arc<Journal> {
        self.at_hand(id, Found::End(silent::mark(ended_at, state), None))
    }

    fn at_hand(&self, id: &CommandId, found: Found) -> Arc<Journal> {
        let mut table = self.shelf.table();
        if let Some(journal) = table.used(id) {
            return journal;
        }
        let journal = Arc::new(Journal::empty(id.clone(), self.shelf.path(id)));
        journal.resume(found);
        table.journals.insert(id.clone(), Arc::clone(&journal));
        table.keep_at_hand(id);
        journal
    }

    /// Reads a journal from the record after `after_seq` (0: from the first) and follows it.
    pub fn reader(&self, id: &CommandId, after_seq: u64) -> Result<JournalReader, OpenError> {
        Ok(JournalReader::after(self.get(id)?, after_seq))
    }

    /// Removes a journal and its files; one that does not exist counts as removed. Readers get an
    /// error. The writer has to be gone.
    pub fn remove(&self, id: &CommandId) -> Result<(), OpenError> {
        let mut table = self.shelf.table();
        if table
            .journals
            .get(id)
            .is_some_and(|journal| journal.has_writer())
        {
            return Err(OpenError::InUse(id.clone()));
        }
        self.remove_input(id).map_err(io_error(id, "removing"))?;
        match fs::remove_file(self.shelf.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(id, "removing")(error));
            }
            _ => {}
        }
        self.shelf.silent.forget(id);
        if let Some(journal) = table.journals.remove(id) {
            journal.mark_removed();
        }
        table.ended.retain(|ended| ended != id);
        Ok(())
    }

    /// The ids of all commands that have a file here, in no order.
    pub fn list(&self) -> io::Result<Vec<CommandId>> {
        let mut ids = HashSet::new();
        for entry in fs::read_dir(&self.shelf.dir)? {
            let name = entry?.file_name();
            let name = name.to_str().unwrap_or_default();
            let id = name.strip_suffix(input::SUFFIX).unwrap_or(name);
            ids.extend(id.parse::<CommandId>().ok());
        }
        Ok(ids.into_iter().collect())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.shelf.dir
    }
}

impl Shelf {
    pub(super) fn now(&self) -> Time {
        (self.clock)()
    }

    /// `/dev/null`, for output that is not kept.
    pub(super) const fn null(&self) -> &File {
        &self.null
    }

    pub(super) const fn silent(&self) -> &Silent {
        &self.silent
    }

    /// The writer of `journal` is gone.
    pub(super) fn put_back(&self, journal: &Arc<Journal>) {
        // Without an End somebody will reopen it, and its readers have to see that.
        if journal.status().end.is_some() {
            self.table().keep_at_hand(journal.id());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &CommandId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// Makes the caller the writer of a journal, known or not.
    fn claim(&self, id: &CommandId) -> Result<Arc<Journal>, OpenError> {
        let mut table = self.table();
        if let Some(journal) = table.journals.get(id).cloned() {
            if !journal.claim() {
                return Err(OpenError::InUse(id.clone()));
            }
            table.ended.retain(|ended| ended != id);
            return Ok(journal);
        }
        let journal = Arc::new(Journal::claimed(id.clone(), self.path(id)));
        table.journals.insert(id.clone(), Arc::clone(&journal));
        Ok(journal)
    }

    /// Undoes a claim whose file cannot be used. Who has begun to read in between sees an end.
    fn unclaim(&self, journal: &Journal) {
        let mut table = self.table();
        journal.publish(Status {
            feed: Feed::Idle,
            ..journal.status()
        });
        journal.release();
        table.journals.remove(journal.id());
    }

    /// What there is of a journal, after putting the end of its file right.
    fn recover(&self, id: &CommandId) -> Result<Found, OpenError> {
        let read = self.read(id)?;
        let recovered = match &read {
            Found::File(found) => recover(id, &found.0, &found.1),
            // It was to begin with the End, and does not.
            Found::End(_, Some(file)) => file.set_len(0),
            Found::Nothing | Found::End(_, None) => Ok(()),
        };
        recovered.map_err(io_error(id, "recovering"))?;
        Ok(read)
    }

    /// What there is of a journal.
    fn read(&self, id: &CommandId) -> Result<Found, OpenError> {
        let Some(file) = self.file(id)? else {
            return Ok(Found::Nothing.behind(self.silent.get(id)));
        };
        match scan(&file) {
            Ok(scan) => {
                let found = Found::File(Box::new((file, scan)));
                Ok(found.behind(self.silent.get(id)))
            }
            Err(ScanError::Foreign) => Err(OpenError::Foreign(id.clone())),
            Err(ScanError::Read(error)) => Err(io_error(id, "reading")(error)),
        }
    }

    fn file(&self, id: &CommandId) -> Result<Option<File>, OpenError> {
        match OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(id))
        {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(id, "opening")(error)),
        }
    }
}

impl Table {
    /// A known journal, which counts as used now.
    fn used(&mut self, id: &CommandId) -> Option<Arc<Journal>> {
        let journal = self.journals.get(id).cloned()?;
        if let Some(at) = self.ended.iter().position(|ended| ended == id) {
            self.ended.remove(at);
            self.ended.push_back(id.clone());
        }
        Some(journal)
    }

    /// Takes an ended journal into the bounded part of the table.
    fn keep_at_hand(&mut self, id: &CommandId) {
        if !self.ended.contains(id) {
            self.ended.push_back(id.clone());
        }
        while self.ended.len() > AT_HAND_MAX {
            if let Some(longest_unused) = self.ended.pop_front() {
                self.journals.remove(&longest_unused);
            }
        }
    }
}

/// Puts the end of a file right. Each step leaves a file that a scan understands in the same way,
/// so dying between or within them is harmless.
fn recover(id: &CommandId, file: &File, found: &Scan) -> io::Result<()> {
    if let Some((offset, header)) = &found.short {
        tail::shorten(file, *offset, header)?;
    }
    let (size, end) = (file.metadata()?.len(), found.status.file_end);
    if size > end {
        tracing::info!(command = %id, bytes = size - end, "journal: unfinished record cut off");
        file.set_len(end)?;
    }
    Ok(())
}

fn io_error(id: &CommandId, step: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io {
        id: id.clone(),
        step,
        source,
    }
}
