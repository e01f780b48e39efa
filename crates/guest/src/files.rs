//! File work of the short kind, done by a worker that has already become the user.

mod copy;
mod directory;
mod remove;
pub(crate) mod resolve;
mod stat;

use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::{
    Done, Entries, FailureKind, List, MakeDir, Move, Path, Remove, SetMode, reply, request,
};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::failure::{Outcome, Refusal};
use resolve::{Missing, Place, Resolver};

pub(crate) use copy::{is_temporary, temporary_name};
pub(crate) use directory::names;
pub(crate) use stat::stat_of;

const NEW_DIRECTORY_MODE: u32 = 0o755;
const MODE_BITS: u32 = 0o7777;

#[derive(Debug)]
pub(crate) enum FileJob {
    Stat(Path),
    List(Path, List),
    MakeDir(Path, MakeDir),
    Move(Path, Path, Move),
    Remove(Path, Remove),
    SetMode(Path, SetMode),
}

impl FileJob {
    /// The job and its user.
    pub(crate) fn from_request(body: request::Body) -> Outcome<(String, Self)> {
        let job = match body {
            request::Body::Stat(path) => Self::Stat(path),
            request::Body::List(mut list) => Self::List(path(list.at.take())?, list),
            request::Body::MakeDir(mut make) => Self::MakeDir(path(make.at.take())?, make),
            request::Body::Move(mut rename) => {
                Self::Move(path(rename.from.take())?, path(rename.to.take())?, rename)
            }
            request::Body::Remove(mut remove) => Self::Remove(path(remove.at.take())?, remove),
            request::Body::SetMode(mut set) => Self::SetMode(path(set.at.take())?, set),
            _ => {
                let message = "this guest knows no such request";
                return Err(Refusal::new(FailureKind::Unsupported, message));
            }
        };
        Ok((job.user().to_owned(), job))
    }

    fn user(&self) -> &str {
        match self {
            Self::Stat(path)
            | Self::List(path, _)
            | Self::MakeDir(path, _)
            | Self::Move(path, ..)
            | Self::Remove(path, _)
            | Self::SetMode(path, _) => &path.user,
        }
    }
}

pub(crate) fn path(path: Option<Path>) -> Outcome<Path> {
    path.ok_or_else(|| Refusal::invalid("a path is missing"))
}

pub(crate) fn run(job: FileJob) -> Outcome<reply::Body> {
    let done = |()| reply::Body::Done(Done {});
    match job {
        FileJob::Stat(path) => stat(&path),
        FileJob::List(path, list) => list_directory(&path, &list),
        FileJob::MakeDir(path, make) => make_directory(&path, &make).map(done),
        FileJob::Move(from, to, rename) => move_entry(&from, &to, rename.overwrite).map(done),
        FileJob::Remove(path, remove) => remove_entry(&path, remove.recursive).map(done),
        FileJob::SetMode(path, set) => set_mode(&path, set.mode).map(done),
    }
}

fn stat(path: &Path) -> Outcome<reply::Body> {
    let (_, entry) = Resolver::new(path)?.existing(!path.no_follow)?;
    let stat = stat_of(&entry, resolve::last_component(&path.path))
        .map_err(|errno| Refusal::kernel(&shown(path), errno))?;
    Ok(reply::Body::Stat(stat))
}

fn list_directory(path: &Path, list: &List) -> Outcome<reply::Body> {
    let (place, _) = Resolver::new(path)?.existing(!path.no_follow)?;
    let refuse = |errno| Refusal::kernel(&shown(path), errno);
    let directory = open_directory(&place).map_err(refuse)?;
    let (entries, more) = directory::page(&directory, &list.after, list.limit).map_err(refuse)?;
    Ok(reply::Body::Entries(Entries { entries, more }))
}

fn make_directory(path: &Path, make: &MakeDir) -> Outcome<()> {
    let missing = if make.parents {
        Missing::Make
    } else {
        Missing::Refuse
    };
    let resolver = Resolver::new(path)?;
    let place = resolver.place_or_itself(true, missing)?;
    if resolver.is_itself(&place) {
        // Its parent is not the caller's to make anything in, even if it is gone by now.
        return match make.parents {
            true => Ok(()),
            false => Err(Refusal::kernel(&shown(path), Errno::EXIST)),
        };
    }
    let mode = if make.mode == 0 {
        NEW_DIRECTORY_MODE
    } else {
        make.mode & MODE_BITS
    };
    match rustix::fs::mkdirat(&place.parent, &place.name, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) if make.parents && place.is_directory() => Ok(()),
        other => other.map_err(|errno| Refusal::kernel(&shown(path), errno)),
    }
}

fn move_entry(from: &Path, to: &Path, overwrite: bool) -> Outcome<()> {
    let (sources, targets) = (Resolver::new(from)?, Resolver::new(to)?);
    let source = sources.place_or_itself(false, Missing::Refuse)?;
    let target = targets.place_or_itself(false, Missing::Refuse)?;
    if sources.is_itself(&source) || targets.is_itself(&target) {
        return Err(Refusal::invalid(
            "this directory can be neither moved nor replaced",
        ));
    }
    if source.entry.is_none() {
        return Err(Refusal::kernel(&shown(from), Errno::NOENT));
    }
    let flags = if overwrite {
        RenameFlags::empty()
    } else {
        RenameFlags::NOREPLACE
    };
    let (a, b) = (&source, &target);
    match rustix::fs::renameat_with(&a.parent, &a.name, &b.parent, &b.name, flags) {
        Err(Errno::XDEV) => copy::move_across(&source, &target, overwrite)
            .map_err(|errno| Refusal::kernel(&shown(to), errno)),
        Err(errno @ (Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR)) => {
            Err(Refusal::kernel(&shown(to), errno))
        }
        other => other.map_err(|errno| Refusal::kernel(&shown(from), errno)),
    }
}

fn remove_entry(path: &Path, recursive: bool) -> Outcome<()> {
    let resolver = Resolver::new(path)?;
    let place = resolver.place_or_itself(false, Missing::Refuse)?;
    if resolver.is_itself(&place) {
        return Err(Refusal::invalid("this directory cannot be removed"));
    }
    let removed = if recursive {
        remove::tree(place.parent.as_fd(), &place.name)
    } else if place.is_directory() {
        rustix::fs::unlinkat(&place.parent, &place.name, AtFlags::REMOVEDIR)
    } else {
        rustix::fs::unlinkat(&place.parent, &place.name, AtFlags::empty())
    };
    removed.map_err(|errno| Refusal::kernel(&shown(path), errno))
}

fn set_mode(path: &Path, mode: u32) -> Outcome<()> {
    let (place, entry) = Resolver::new(path)?.existing(!path.no_follow)?;
    if place.kind() == Some(rustix::fs::FileType::Symlink) {
        return Err(Refusal::invalid("a symlink has no mode of its own"));
    }
    let mode = Mode::from_raw_mode(mode & MODE_BITS);
    // Through the descriptor that was resolved: by name it could have become a symlink.
    rustix::fs::chmod(resolve::proc_path(&entry), mode)
        .map_err(|errno| Refusal::kernel(&shown(path), errno))
}

/// A resolved directory, open for reading.
pub(crate) fn open_directory(place: &Place) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    // The very directory that was judged: another may have taken its name since.
    let entry = place.entry.as_ref().ok_or(Errno::NOENT)?;
    rustix::fs::openat(entry, c".", flags, Mode::empty())
}

/// A path in an error's text.
pub(crate) fn shown(path: &Path) -> String {
    String::from_utf8_lossy(&path.path).into_owned()
}
