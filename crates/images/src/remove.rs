//! Removing a tree without following links. Knows no store.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, openat, unlinkat};
use rustix::io::Errno;

/// Passes over a directory that still has entries after one reading of it: some file systems skip
/// entries when others vanish meanwhile.
const PASSES_MAX: u32 = 16;

/// Removes `name` in `parent`, whatever it is. One already gone is no error.
///
/// Uses one descriptor a level, no recursion: trees here are as deep as `Limits::depth` allows.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let mut levels = vec![Level::open(parent, name)?];
    while let Some(level) = levels.last_mut() {
        if let Some(below) = level.empty()? {
            levels.push(below);
            continue;
        }
        let mut done = levels.pop().expect("the loop holds one");
        let above = levels.last().map_or(Ok(parent), |l| l.dir.fd())?;
        match unlinkat(above, &done.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY) if done.passes < PASSES_MAX => {
                done.passes += 1;
                done.dir.rewind();
                levels.push(done);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

struct Level {
    dir: Dir,
    name: CString,
    passes: u32,
}

impl Level {
    fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Self, Errno> {
        let fd = open_writable(parent, name)?;
        Ok(Self {
            dir: Dir::new(fd)?,
            name: CString::new(name).map_err(|_| Errno::INVAL)?,
            passes: 0,
        })
    }

    /// Unlinks entries until one turns out to be a directory with something in it; `None` at the
    /// end.
    fn empty(&mut self) -> Result<Option<Self>, Errno> {
        while let Some(entry) = self.dir.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let fd = self.dir.fd()?;
            if entry.file_type() != FileType::Directory {
                match unlinkat(fd, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            match unlinkat(fd, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => return Self::open(fd, name.to_bytes()).map(Some),
            }
        }
        Ok(None)
    }
}

/// Opens a directory and makes sure that its entries can be removed: an image may hold directories
/// that not even their owner may write, which binds ordinary users.
fn open_writable(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty());
    let fd = match open() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        other => other?,
    };
    if !rustix::process::geteuid().is_root() {
        fchmod(fd.as_fd(), Mode::RWXU)?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_goes_and_what_its_links_point_at_stays() {
        let dir = tempfile::tempdir().expect("temp dir");
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).expect("outside");
        std::fs::write(outside.join("kept"), "x").expect("kept");
        let mut deep = dir.path().join("tree");
        for _ in 0..50 {
            deep.push("d");
        }
        std::fs::create_dir_all(&deep).expect("deep");
        symlink(&outside, deep.join("link")).expect("link");
        for i in 0..3000 {
            std::fs::write(dir.path().join(format!("tree/{i}")), "").expect("file");
        }
        std::fs::set_permissions(&deep, std::fs::Permissions::from_mode(0o000)).expect("mode");
        let fd = std::fs::File::open(dir.path()).expect("open");
        remove_tree(fd.as_fd(), b"tree").expect("removed");
        remove_tree(fd.as_fd(), b"tree").expect("gone is fine");
        assert!(!dir.path().join("tree").exists());
        assert!(outside.join("kept").exists());
    }
}
