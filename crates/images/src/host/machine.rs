//! Reading the machine: only what everybody on it may read, and never through a link unawares.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat};
use rustix::io::Errno;

use super::HostError;

/// A machine's root directory. All paths are relative to it.
pub(super) struct Machine {
    root: OwnedFd,
    /// Absolute and without links.
    path: PathBuf,
}

impl Machine {
    pub(super) fn open(root: &Path) -> Result<Self, HostError> {
        let failed = |source| HostError::Read {
            path: root.to_owned(),
            source,
        };
        let path = std::fs::canonicalize(root).map_err(failed)?;
        let root = File::open(&path).map_err(failed)?.into();
        Ok(Self { root, path })
    }

    /// The absolute path of `path`, outside.
    pub(super) fn outside(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// What is at `path` itself; `None` where nothing is, or where a directory on the way is a
    /// link.
    pub(super) fn lstat(&self, path: &Path) -> Option<Stat> {
        let fd = self
            .resolve(path, OFlags::PATH | OFlags::NOFOLLOW, NO_LINKS)
            .ok()?;
        fstat(fd).ok()
    }

    pub(super) fn read_link(&self, path: &Path) -> Option<PathBuf> {
        let link = self
            .resolve(path, OFlags::PATH | OFlags::NOFOLLOW, NO_LINKS)
            .ok()?;
        let target = readlinkat(link, c"", Vec::new()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Where `path` ends after all its links, as a path without links.
    pub(super) fn canonical(&self, path: &Path) -> Option<PathBuf> {
        let fd = self
            .resolve(path, OFlags::PATH, ResolveFlags::empty())
            .ok()?;
        let shown = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        shown.strip_prefix(&self.path).ok().map(Path::to_owned)
    }

    /// Whether everybody may reach `path`: each directory above it lets others pass.
    pub(super) fn is_reachable_by_all(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|above| {
            above.as_os_str().is_empty()
                || self
                    .lstat(above)
                    .is_some_and(|stat| is(&stat, FileType::Directory) && stat.st_mode & 0o1 != 0)
        })
    }

    /// A regular file that everybody may read, without following a link. What it is and whether
    /// it may be read is asked of the open file, so nothing can change in between.
    pub(super) fn open_public(&self, path: &Path) -> Option<(File, Stat)> {
        // NONBLOCK: a FIFO that takes the file's place must not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = self.resolve(path, flags, NO_LINKS).ok()?;
        let stat = fstat(&fd).ok()?;
        let public = is(&stat, FileType::RegularFile) && stat.st_mode & 0o4 != 0;
        public.then(|| (File::from(fd), stat))
    }

    /// The names in a directory that everybody may list, sorted. At most `max`.
    pub(super) fn list_public(&self, path: &Path, max: usize) -> Vec<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let Ok(fd) = self.resolve(path, flags, NO_LINKS) else {
            return Vec::new();
        };
        let public = fstat(&fd).is_ok_and(|stat| stat.st_mode & 0o5 == 0o5);
        let Some(dir) = public.then(|| Dir::new(fd).ok()).flatten() else {
            return Vec::new();
        };
        let mut names: Vec<Vec<u8>> = dir
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_bytes().to_vec())
            .filter(|name| !matches!(name.as_slice(), b"." | b".."))
            .take(max)
            .collect();
        names.sort();
        names
    }

    fn resolve(&self, path: &Path, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
        let how = how | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        rustix::io::retry_on_intr(|| openat2(&self.root, path, flags, Mode::empty(), how))
    }
}

/// Links on the way fail; one at the end is itself where the flags say so.
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS;

pub(super) fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Whether `path` is `dir` or below it.
pub(super) fn is_within(path: &Path, dir: &str) -> bool {
    path.components().next() == Some(Component::Normal(OsStr::new(dir)))
}
