//! File events out (inotify(7)).
//!
//! What lies in a directory that appears during a recursive watch is told as created, since it may
//! have come before the watch; it may so be told twice, never not at all. When the kernel's queue or
//! our bound overflows, `Overflow` says that something was missed.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pinfold_proto::{FileEvent, FileEventKind, Path};
use prost::Message;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::data::{self, Data};
use crate::failure::{Outcome, Refusal};
use crate::files::resolve::{Resolver, proc_path};
use crate::files::{is_temporary, names, open_directory, shown};

/// Directories watched at once.
const WATCHES_MAX: usize = 8192;
const NAMES_MAX: usize = 1 << 16;
const BUFFER_BYTES: usize = 16 << 10;

pub(super) struct Watch {
    inotify: OwnedFd,
    root: OwnedFd,
    /// Only this name, for a path that is no directory.
    only: Option<CString>,
    recursive: bool,
    /// Directories by the number of their watch, relative to the root.
    paths: HashMap<i32, PathBuf>,
    root_watch: i32,
    /// The watched directory's name in the one above. The kernel does not tell of the removal of
    /// a directory that somebody has open, as we do.
    above: Option<(i32, CString)>,
    subject: String,
}

/// One event, free of the kernel's buffer.
struct Seen {
    watch: i32,
    flags: ReadFlags,
    name: Option<CString>,
}

pub(super) fn begin(path: &Path, recursive: bool) -> Outcome<Watch> {
    let subject = shown(path);
    let refuse = |errno| Refusal::kernel(&subject, errno);
    let (place, _) = Resolver::new(path)?.existing(!path.no_follow)?;
    let directory = place.is_directory();
    let root = if directory {
        open_directory(&place).map_err(refuse)?
    } else {
        // Editors replace files, so a file is watched by its name.
        place
            .parent
            .try_clone()
            .map_err(|error| Refusal::io(&subject, &error))?
    };
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(refuse)?;
    let root_watch = add(&inotify, &root).map_err(refuse)?;
    let above = if directory && !place.is_root() {
        // Where the one above may not be read, the end of the watch is not told.
        let flags = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&inotify, proc_path(&place.parent), flags).ok();
        number.map(|number| (number, place.name.clone()))
    } else {
        None
    };
    let mut watch = Watch {
        inotify,
        root,
        only: (!directory).then_some(place.name),
        recursive: recursive && directory,
        paths: HashMap::from([(root_watch, PathBuf::new())]),
        root_watch,
        above,
        subject,
    };
    if watch.recursive {
        // Before the answer, so that everything after it is seen.
        watch
            .enter(PathBuf::new(), &mut Vec::new())
            .map_err(|errno| Refusal::kernel(&watch.subject, errno))?;
    }
    Ok(watch)
}

impl Watch {
    pub(super) fn run(mut self, mut data: Data<'_>) -> Outcome<u64> {
        self.follow(&mut data)
            .map_err(|error| data::refusal(&self.subject, &error))?;
        Ok(data.bytes)
    }

    fn follow(&mut self, data: &mut Data<'_>) -> io::Result<()> {
        loop {
            data.wait_for(self.inotify.as_fd())?;
            let mut told = Vec::new();
            let mut over = false;
            for seen in self.read()? {
                over |= self.take(seen, &mut told)?;
            }
            for event in told {
                data.write_all(&event.encode_length_delimited_to_vec())?;
            }
            if over {
                return Ok(());
            }
        }
    }

    fn read(&self) -> io::Result<Vec<Seen>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => seen.push(Seen {
                    watch: event.wd(),
                    flags: event.events(),
                    name: event.file_name().map(ToOwned::to_owned),
                }),
                Err(Errno::AGAIN) => return Ok(seen),
                Err(errno) => return Err(errno.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(seen);
            }
        }
    }

    /// Returns whether the watch is over.
    fn take(&mut self, seen: Seen, told: &mut Vec<FileEvent>) -> rustix::io::Result<bool> {
        if seen.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            told.push(event(FileEventKind::Overflow, PathBuf::new()));
            return Ok(false);
        }
        if seen.flags.contains(ReadFlags::IGNORED) {
            self.paths.remove(&seen.watch);
            return Ok(seen.watch == self.root_watch);
        }
        let Some(name) = seen.name else {
            return Ok(false);
        };
        if self
            .above
            .as_ref()
            .is_some_and(|above| *above == (seen.watch, name.clone()))
        {
            told.push(event(FileEventKind::Removed, PathBuf::new()));
            return Ok(true);
        }
        let Some(directory) = self.paths.get(&seen.watch) else {
            return Ok(false);
        };
        if self.only.as_ref().is_some_and(|only| *only != name) || is_temporary(&name) {
            return Ok(false);
        }
        let path = match self.only {
            Some(_) => PathBuf::new(),
            None => directory.join(OsStr::from_bytes(name.as_bytes())),
        };
        if let Some(kind) = kind_of(seen.flags) {
            told.push(event(kind, path.clone()));
        }
        if self.recursive && seen.flags.contains(ReadFlags::ISDIR) {
            if seen.flags.contains(ReadFlags::MOVED_FROM) {
                self.leave(&path);
            } else if seen
                .flags
                .intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO)
            {
                self.enter(path, told)?;
            }
        }
        Ok(false)
    }

    /// Watches a directory and all below it, and tells what is there.
    fn enter(&mut self, path: PathBuf, told: &mut Vec<FileEvent>) -> rustix::io::Result<()> {
        let mut todo = vec![path];
        while let Some(path) = todo.pop() {
            let Some(directory) = self.open(&path)? else {
                continue;
            };
            if self.paths.len() >= WATCHES_MAX {
                told.push(event(FileEventKind::Overflow, path));
                return Ok(());
            }
            let number = match add(&self.inotify, &directory) {
                // The user's bound on watches.
                Err(Errno::NOSPC | Errno::MFILE) => {
                    told.push(event(FileEventKind::Overflow, path));
                    return Ok(());
                }
                other => other?,
            };
            self.paths.insert(number, path.clone());
            for name in names(&directory, NAMES_MAX)? {
                let below = path.join(OsStr::from_bytes(name.as_bytes()));
                if is_directory(&directory, &name) {
                    todo.push(below.clone());
                }
                told.push(event(FileEventKind::Created, below));
            }
        }
        Ok(())
    }

    /// A directory below the root, through no symlink; `None` when it is gone or none of ours.
    fn open(&self, path: &std::path::Path) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let at = if path.as_os_str().is_empty() {
            std::path::Path::new(".")
        } else {
            path
        };
        match rustix::fs::openat2(&self.root, at, flags, Mode::empty(), resolve) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::AGAIN) => {
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    fn leave(&mut self, path: &std::path::Path) {
        let gone: Vec<_> = self
            .paths
            .iter()
            .filter(|(_, watched)| watched.starts_with(path))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            // Its directory may be gone, and the watch with it.
            let _ = inotify::remove_watch(&self.inotify, number);
            self.paths.remove(&number);
        }
    }
}

fn add(inotify: &OwnedFd, directory: &OwnedFd) -> rustix::io::Result<i32> {
    let flags = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ATTRIB
        | WatchFlags::ONLYDIR;
    inotify::add_watch(inotify, proc_path(directory), flags)
}

fn is_directory(parent: &OwnedFd, name: &CString) -> bool {
    rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
    })
}

fn kind_of(flags: ReadFlags) -> Option<FileEventKind> {
    if flags.contains(ReadFlags::CREATE) {
        Some(FileEventKind::Created)
    } else if flags.contains(ReadFlags::MODIFY) {
        Some(FileEventKind::Modified)
    } else if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        Some(FileEventKind::Removed)
    } else if flags.contains(ReadFlags::MOVED_TO) {
        Some(FileEventKind::Renamed)
    } else if flags.contains(ReadFlags::ATTRIB) {
        Some(FileEventKind::Mode)
    } else {
        None
    }
}

fn event(kind: FileEventKind, path: PathBuf) -> FileEvent {
    FileEvent {
        kind: kind.into(),
        path: path.into_os_string().into_encoded_bytes(),
    }
}
