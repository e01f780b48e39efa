//! What a file is, and what a directory holds.

use std::ffi::{OsStr, OsString};

use pinfold_model::{Code, Result, Time};
use pinfold_runtime::guest::{FileKind as GuestKind, FilePath, FileStat, Follow};

use crate::errors::guest_error;
use crate::live::Lease;

/// One file. Bytes of names that are no UTF-8 are shown as U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The last part of its path.
    pub name: String,
    /// Absolute.
    pub path: String,
    pub kind: FileKind,
    pub size_bytes: u64,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified_at: Time,
    /// Where a symlink points.
    pub target: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// A directory's entries in order of name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<FileEntry>,
    /// The directory holds more than was asked for.
    pub truncated: bool,
}

/// A part of a directory, in byte order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryPage {
    pub entries: Vec<FileEntry>,
    /// Where the rest begins; `None`: there is no more.
    pub next: Option<DirectoryCursor>,
}

/// A place between two names of a directory, at first before all of them. Names need not be UTF-8, so
/// it is no name that anybody is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryCursor(OsString);

/// Entries of one answer of the guest at most.
const CHUNK_MAX: usize = 1000;

pub(super) async fn stat(lease: &Lease, at: &FilePath) -> Result<FileEntry> {
    let stat = lease.guest().stat(at).await.map_err(guest_error)?;
    Ok(to_entry(shown(at), stat))
}

pub(super) async fn list(lease: &Lease, at: &FilePath, limit: u32) -> Result<Listing> {
    let limit = limit as usize;
    let mut listing = Listing {
        entries: Vec::new(),
        truncated: false,
    };
    let mut after = DirectoryCursor::default();
    loop {
        let want = limit - listing.entries.len();
        let page = page(lease, at, &after, want).await?;
        listing.entries.extend(page.entries);
        match page.next {
            Some(next) if listing.entries.len() < limit && next != after => after = next,
            next => {
                listing.truncated = next.is_some();
                return Ok(listing);
            }
        }
    }
}

/// At most `want` entries, and no more than 1,000. None and a `next` as before: what was to come was
/// removed while it was read.
pub(super) async fn page(
    lease: &Lease,
    at: &FilePath,
    after: &DirectoryCursor,
    want: usize,
) -> Result<DirectoryPage> {
    let want = want.min(CHUNK_MAX);
    let limit = u32::try_from(want).expect("at most 1,000");
    let chunk = lease.guest().list(at, &after.0, limit).await;
    let mut chunk = chunk.map_err(guest_error)?;
    chunk.entries.truncate(want);
    let last = chunk.entries.last().map(|stat| stat.name.clone());
    let next = last.map_or_else(|| after.clone(), DirectoryCursor);
    let entries = chunk.entries.into_iter();
    Ok(DirectoryPage {
        entries: entries.map(|stat| below(at, stat)).collect(),
        next: chunk.more.then_some(next),
    })
}

/// Links of one listing that are looked behind at most.
const LINKS_MAX: usize = 1000;

/// Symlinks that lead to something within the directory `at` is confined to, as that; others stay
/// symlinks.
pub(super) async fn links_resolved(lease: &Lease, at: &FilePath, mut listing: Listing) -> Listing {
    let links = listing.entries.iter_mut();
    let links = links.filter(|entry| entry.kind == FileKind::Symlink);
    for link in links.take(LINKS_MAX) {
        let behind = FilePath {
            path: at.path.join(&link.name),
            follow: Follow::Yes,
            ..at.clone()
        };
        if let Ok(found) = stat(lease, &behind).await {
            link.kind = found.kind;
            link.size_bytes = found.size_bytes;
            link.modified_at = found.modified_at;
        }
    }
    listing
}

/// Refuses a symlink that leads out of the directory `at` is confined to, although what is about
/// to be done would only touch the link itself: no confined request says or does anything about
/// what is outside.
pub(super) async fn target_is_within(lease: &Lease, at: &FilePath) -> Result<()> {
    if at.within.is_none() {
        return Ok(());
    }
    let target = FilePath {
        follow: Follow::Yes,
        ..at.clone()
    };
    match stat(lease, &target).await {
        Err(error) if error.code() == Code::PathOutside => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn to_entry(path: String, stat: FileStat) -> FileEntry {
    FileEntry {
        name: lossy(&stat.name),
        path,
        kind: to_kind(stat.kind),
        size_bytes: stat.size_bytes,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        modified_at: stat.modified,
        target: stat.target.as_deref().map(lossy),
    }
}

pub(super) fn shown(at: &FilePath) -> String {
    lossy(at.path.as_os_str())
}

fn below(at: &FilePath, stat: FileStat) -> FileEntry {
    let path = at.path.join(&stat.name);
    to_entry(lossy(path.as_os_str()), stat)
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn to_kind(kind: GuestKind) -> FileKind {
    match kind {
        GuestKind::File => FileKind::File,
        GuestKind::Directory => FileKind::Directory,
        GuestKind::Symlink => FileKind::Symlink,
        GuestKind::Other => FileKind::Other,
    }
}
