//! The sandbox's working directory, which its image may lack.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};

use crate::users::Users;

/// Makes what is missing of the directory, for its user: who may not write where it is to be could
/// not make it later. What fails here shows to whoever uses the directory.
pub(crate) fn make(directory: &str, user: &str, users: &mut Users) {
    let missing = |path: &&Path| matches!(path.try_exists(), Ok(false));
    let mut paths: Vec<_> = Path::new(directory)
        .ancestors()
        .take_while(missing)
        .collect();
    if paths.is_empty() || !directory.starts_with('/') {
        return;
    }
    let owner = users.find(user).ok();
    paths.reverse();
    for path in paths {
        if rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).is_err() {
            return;
        }
        if let Some(owner) = &owner {
            let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let _ = rustix::fs::chownat(CWD, path, Some(uid), Some(gid), flags);
        }
    }
}
