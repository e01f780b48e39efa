//! From a path to the directory it ends in, without races.
//!
//! The path is walked one component at a time, each opened as a path below the directory that was
//! opened before it and never followed by the kernel; symlinks are read and walked here. A tenant
//! that swaps directories for symlinks meanwhile changes at most which of its own directories is
//! found: every directory on the way is held open, `..` goes back to the one we came from, and
//! whether the end lies inside `within` is decided by what is held, not by names.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use pinfold_proto::{FailureKind, Path};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::NEW_DIRECTORY_MODE;
use crate::failure::{Outcome, Refusal};

/// As in Linux itself (path_resolution(7)).
const SYMLINKS_MAX: u32 = 40;
const PATH_MAX_BYTES: usize = 4095;
/// Directories held open at once.
const DEPTH_MAX: usize = 2048;

/// What to do where a directory on the way is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Refuse,
    Make,
}

/// Where a path leads: a name in an open directory.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: OwnedFd,
    /// One component; `.` where the path is a directory that cannot be named from its parent.
    pub(crate) name: CString,
    /// What was there, opened as a path.
    pub(crate) entry: Option<OwnedFd>,
}

impl Place {
    /// The root, or the directory that a path has to stay in.
    pub(crate) fn is_root(&self) -> bool {
        self.name.as_bytes() == b"."
    }

    pub(crate) fn kind(&self) -> Option<FileType> {
        let stat = rustix::fs::fstat(self.entry.as_ref()?).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode))
    }

    fn is(&self, identity: Identity) -> bool {
        self.entry.as_ref().is_some_and(|entry| is(entry, identity))
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == Some(FileType::Directory)
    }
}

/// Resolves one path of a request.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    path: &'a Path,
    /// Directories from `/` to where a relative path begins.
    start: Vec<OwnedFd>,
    fence: Option<Identity>,
}

/// A directory, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(path: &'a Path) -> Outcome<Self> {
        check(&path.path)?;
        let root = open_root().map_err(|errno| Refusal::kernel("/", errno))?;
        if path.within.is_empty() {
            return Ok(Self {
                path,
                start: vec![root],
                fence: None,
            });
        }
        check(&path.within)?;
        let subject = String::from_utf8_lossy(&path.within).into_owned();
        let walk = Walk {
            stack: vec![root],
            fence: None,
            missing: Missing::Refuse,
            links: 0,
        };
        let start = walk
            .directory(&path.within)
            .map_err(|stop| stop.refusal(&subject))?;
        let stat = top_stat(&start).map_err(|errno| Refusal::kernel(&subject, errno))?;
        Ok(Self {
            path,
            start,
            fence: Some(identity(&stat)),
        })
    }

    /// A resolver for names below a directory that this one has found.
    pub(crate) fn below(path: &'a Path, directory: OwnedFd) -> Outcome<Self> {
        let refuse = |errno| Refusal::kernel(".", errno);
        let stat = rustix::fs::fstat(&directory).map_err(refuse)?;
        Ok(Self {
            path,
            start: vec![directory],
            fence: Some(identity(&stat)),
        })
    }

    /// The place of a path whose last component need not exist.
    pub(crate) fn place(&self, follow: bool, missing: Missing) -> Outcome<Place> {
        let (place, parents) = self.walk(follow, missing)?;
        match self.fence {
            Some(fence) if !holds(&parents, fence) => Err(self.outside()),
            _ => Ok(place),
        }
    }

    /// The same where the path may be the very directory to stay in.
    pub(crate) fn place_or_itself(&self, follow: bool, missing: Missing) -> Outcome<Place> {
        let (place, parents) = self.walk(follow, missing)?;
        match self.fence {
            Some(fence) if !holds(&parents, fence) && !place.is(fence) => Err(self.outside()),
            _ => Ok(place),
        }
    }

    /// Whether the place is the directory to stay in, or the root.
    pub(crate) fn is_itself(&self, place: &Place) -> bool {
        place.is_root() || self.fence.is_some_and(|fence| place.is(fence))
    }

    /// The place of something that exists.
    pub(crate) fn existing(&self, follow: bool) -> Outcome<(Place, OwnedFd)> {
        let (mut place, parents) = self.walk(follow, Missing::Refuse)?;
        let Some(entry) = place.entry.take() else {
            // Nor is what is missing there.
            return match self.fence {
                Some(fence) if !holds(&parents, fence) => Err(self.outside()),
                _ => Err(Refusal::kernel(&self.shown(), Errno::NOENT)),
            };
        };
        let copy = entry
            .try_clone()
            .map_err(|error| Refusal::io(&self.shown(), &error))?;
        place.entry = Some(entry);
        match self.fence {
            Some(fence) if !holds(&parents, fence) && !is(&copy, fence) => Err(self.outside()),
            _ => Ok((place, copy)),
        }
    }

    fn walk(&self, follow: bool, missing: Missing) -> Outcome<(Place, Vec<OwnedFd>)> {
        let stack: Result<_, _> = self.start.iter().map(OwnedFd::try_clone).collect();
        let stack = stack.map_err(|error| Refusal::io(&self.shown(), &error))?;
        let mut walk = Walk {
            stack,
            fence: self.fence,
            missing,
            links: 0,
        };
        match walk.run(&self.path.path, follow) {
            Ok(place) => Ok((place, walk.stack)),
            // What is wrong outside is nobody's business.
            Err(_) if self.fence.is_some_and(|fence| !holds(&walk.stack, fence)) => {
                Err(self.outside())
            }
            Err(stop) => Err(stop.refusal(&self.shown())),
        }
    }

    fn outside(&self) -> Refusal {
        Stop::Outside.refusal(&self.shown())
    }

    fn shown(&self) -> String {
        super::shown(self.path)
    }
}

enum Stop {
    Kernel(Errno),
    Outside,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

impl Stop {
    fn refusal(self, subject: &str) -> Refusal {
        match self {
            Self::Kernel(errno) => Refusal::kernel(subject, errno),
            Self::Outside => Refusal::new(
                FailureKind::Outside,
                format!("{subject}: leads out of its directory"),
            ),
        }
    }
}

/// One walk: the directories from the root to where it stands.
struct Walk {
    stack: Vec<OwnedFd>,
    fence: Option<Identity>,
    missing: Missing,
    links: u32,
}

impl Walk {
    fn directory(mut self, path: &[u8]) -> Result<Vec<OwnedFd>, Stop> {
        let mut todo = VecDeque::new();
        self.enter(path, &mut todo);
        while let Some(component) = todo.pop_front() {
            self.step(component, &mut todo)?;
        }
        Ok(self.stack)
    }

    fn run(&mut self, path: &[u8], follow: bool) -> Result<Place, Stop> {
        let mut todo = VecDeque::new();
        self.enter(path, &mut todo);
        while let Some(component) = todo.pop_front() {
            if !todo.is_empty() || component == b".." {
                self.step(component, &mut todo)?;
                continue;
            }
            let name = CString::new(component).map_err(|_| Errno::INVAL)?;
            let entry = match open_path(self.top(), &name) {
                Ok(entry) => Some(entry),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(errno.into()),
            };
            if let Some(link) = entry.as_ref().filter(|_| follow)
                && kind(link)? == FileType::Symlink
            {
                self.follow(link, &mut todo)?;
                continue;
            }
            let parent = self.top().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
            return Ok(Place {
                parent,
                name,
                entry,
            });
        }
        let parent = self.top().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let entry = Some(parent.try_clone().map_err(|_| Errno::MFILE)?);
        Ok(Place {
            parent,
            name: c".".into(),
            entry,
        })
    }

    /// Goes through one component that has more behind it.
    fn step(&mut self, name: Vec<u8>, todo: &mut VecDeque<Vec<u8>>) -> Result<(), Stop> {
        if name == b".." {
            // At the root `..` stays there, as in the kernel.
            if self.stack.len() > 1 {
                self.stack.pop();
            }
            return Ok(());
        }
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let entry = match open_path(self.top(), &name) {
            Err(Errno::NOENT) if self.missing == Missing::Make => self.make(&name)?,
            other => other?,
        };
        match kind(&entry)? {
            FileType::Symlink => self.follow(&entry, todo),
            FileType::Directory if self.stack.len() >= DEPTH_MAX => Err(Errno::NAMETOOLONG.into()),
            FileType::Directory => {
                self.stack.push(entry);
                Ok(())
            }
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn make(&self, name: &CString) -> Result<OwnedFd, Stop> {
        if self.fence.is_some_and(|fence| !holds(&self.stack, fence)) {
            return Err(Stop::Outside);
        }
        match rustix::fs::mkdirat(self.top(), name, Mode::from_raw_mode(NEW_DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => Ok(open_path(self.top(), name)?),
            Err(errno) => Err(errno.into()),
        }
    }

    fn follow(&mut self, link: &OwnedFd, todo: &mut VecDeque<Vec<u8>>) -> Result<(), Stop> {
        self.links += 1;
        if self.links > SYMLINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
        self.enter(target.as_bytes(), todo);
        Ok(())
    }

    /// Puts a path's components before those that are still to do.
    fn enter(&mut self, path: &[u8], todo: &mut VecDeque<Vec<u8>>) {
        if path.starts_with(b"/") {
            self.stack.truncate(1);
        }
        for component in path.split(|byte| *byte == b'/').rev() {
            if !component.is_empty() && component != b"." {
                todo.push_front(component.to_vec());
            }
        }
    }

    fn top(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stack.last().expect("the root is never popped").as_fd()
    }
}

/// The last component as it was asked for; empty for a path that has none.
pub(crate) fn last_component(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'/')
        .rfind(|component| !component.is_empty() && *component != b".")
        .unwrap_or_default()
}

/// Names exactly what a descriptor is, where a call takes paths only.
pub(crate) fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn check(path: &[u8]) -> Outcome<()> {
    if path.is_empty() || path.len() > PATH_MAX_BYTES || path.contains(&0) {
        return Err(Refusal::invalid("a path has 1 to 4,095 bytes and no NUL"));
    }
    Ok(())
}

fn open_root() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/", flags, Mode::empty())
}

fn open_path(directory: impl AsFd, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn kind(fd: &OwnedFd) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

fn top_stat(stack: &[OwnedFd]) -> rustix::io::Result<Stat> {
    rustix::fs::fstat(stack.last().ok_or(Errno::NOENT)?)
}

fn identity(stat: &Stat) -> Identity {
    Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

fn is(fd: &OwnedFd, fence: Identity) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| identity(&stat) == fence)
}

fn holds(stack: &[OwnedFd], fence: Identity) -> bool {
    stack.iter().any(|directory| is(directory, fence))
}
