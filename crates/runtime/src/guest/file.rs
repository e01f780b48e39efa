//! File work inside the sandbox, done by the guest: no path of a sandbox is resolved on the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use pinfold_model::Time;
use pinfold_proto::{self as proto, reply, request};

pub use pinfold_proto::FileKind;

use super::{DEADLINE, Guest, GuestError};

/// For what may have to walk or copy whole trees.
const TREE_DEADLINE: Duration = Duration::from_secs(600);

/// What to do with a symlink in the last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    #[default]
    Yes,
    No,
}

/// A path inside the sandbox and who works on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePath {
    /// A relative one begins at `within`, or at `/` without one.
    pub path: PathBuf,
    /// A name or `uid[:gid]`; empty: root of the sandbox. The work is done with this user's rights.
    pub user: String,
    /// Refuse as `Outside` what leads out of this directory, through whatever symlinks.
    pub within: Option<PathBuf>,
    pub follow: Follow,
}

impl FilePath {
    /// As root, following symlinks, anywhere in the sandbox.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// The last component as it was asked for.
    pub name: OsString,
    pub kind: FileKind,
    pub size_bytes: u64,
    /// Permission bits, setuid and sticky included.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Time,
    /// Where a symlink points.
    pub target: Option<OsString>,
}

/// A page of a directory, in byte order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<FileStat>,
    /// There is more after the last one.
    pub more: bool,
}

impl Guest {
    pub async fn stat(&self, at: &FilePath) -> Result<FileStat, GuestError> {
        match self
            .ask_plain(request::Body::Stat(path_message(at)), DEADLINE)
            .await?
        {
            reply::Body::Stat(stat) => self.checked(file_stat(stat)),
            other => Err(self.unexpected("Stat", &other)),
        }
    }

    /// Names after `after` (empty: from the beginning), at most `limit` (1 to 1,000).
    pub async fn list(
        &self,
        at: &FilePath,
        after: &OsStr,
        limit: u32,
    ) -> Result<Listing, GuestError> {
        let list = proto::List {
            at: Some(path_message(at)),
            after: after.as_bytes().to_vec(),
            limit,
        };
        match self
            .ask_plain(request::Body::List(list), TREE_DEADLINE)
            .await?
        {
            reply::Body::Entries(page) => self.checked(listing(page)),
            other => Err(self.unexpected("Entries", &other)),
        }
    }

    /// With `parents`: also what is missing above, and a directory that exists is fine. `mode` 0:
    /// 0755.
    pub async fn make_dir(
        &self,
        at: &FilePath,
        parents: bool,
        mode: u32,
    ) -> Result<(), GuestError> {
        let make = proto::MakeDir {
            at: Some(path_message(at)),
            parents,
            mode,
        };
        self.done(request::Body::MakeDir(make)).await
    }

    /// A rename, or a copy and a remove where the two lie on different file systems. Symlinks in
    /// the last component are moved, not followed. `from`'s user does the work.
    pub async fn move_(
        &self,
        from: &FilePath,
        to: &FilePath,
        overwrite: bool,
    ) -> Result<(), GuestError> {
        let (from, to) = (Some(path_message(from)), Some(path_message(to)));
        let body = request::Body::Move(proto::Move {
            from,
            to,
            overwrite,
        });
        self.done_within(body, TREE_DEADLINE).await
    }

    /// A symlink in the last component is removed, not followed.
    pub async fn remove(&self, at: &FilePath, recursive: bool) -> Result<(), GuestError> {
        let remove = proto::Remove {
            at: Some(path_message(at)),
            recursive,
        };
        self.done_within(request::Body::Remove(remove), TREE_DEADLINE)
            .await
    }

    pub async fn set_mode(&self, at: &FilePath, mode: u32) -> Result<(), GuestError> {
        let set = proto::SetMode {
            at: Some(path_message(at)),
            mode,
        };
        self.done(request::Body::SetMode(set)).await
    }
}

pub(super) fn path_message(at: &FilePath) -> proto::Path {
    let within = at
        .within
        .as_ref()
        .map(|dir| dir.as_os_str().as_bytes().to_vec());
    proto::Path {
        path: at.path.as_os_str().as_bytes().to_vec(),
        user: at.user.clone(),
        within: within.unwrap_or_default(),
        no_follow: at.follow == Follow::No,
    }
}

pub(super) fn file_stat(stat: proto::FileStat) -> Result<FileStat, GuestError> {
    let kind = stat.kind();
    let modified = Time::from_microsecond(stat.modified_us)
        .map_err(|_| GuestError::Protocol("a time outside of time".into()))?;
    Ok(FileStat {
        name: OsString::from_vec(stat.name),
        kind,
        size_bytes: stat.size,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        modified,
        target: (kind == FileKind::Symlink).then(|| OsString::from_vec(stat.target)),
    })
}

fn listing(page: proto::Entries) -> Result<Listing, GuestError> {
    let entries: Result<_, _> = page.entries.into_iter().map(file_stat).collect();
    Ok(Listing {
        entries: entries?,
        more: page.more,
    })
}
