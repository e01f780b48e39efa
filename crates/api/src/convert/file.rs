//! Files.

use pinfold_engine::{FileChange, FileChangeKind, FileEntry, FileKind, Listing};
use pinfold_wire as wire;

use super::quantity::{mode, time};

pub(crate) fn to_wire(entry: FileEntry) -> wire::FileEntry {
    wire::FileEntry {
        name: entry.name,
        path: entry.path,
        kind: match entry.kind {
            FileKind::File => wire::FileKind::File,
            FileKind::Directory => wire::FileKind::Directory,
            FileKind::Symlink => wire::FileKind::Symlink,
            FileKind::Other => wire::FileKind::Other,
        },
        size_bytes: entry.size_bytes,
        mode: mode(entry.mode),
        uid: entry.uid,
        gid: entry.gid,
        modified_at: time(entry.modified_at),
        target: entry.target,
    }
}

pub(crate) fn listing(listing: Listing) -> wire::DirectoryList {
    wire::DirectoryList {
        entries: listing.entries.into_iter().map(to_wire).collect(),
        truncated: listing.truncated,
    }
}

pub(crate) fn change(change: FileChange) -> wire::WatchEvent {
    wire::WatchEvent {
        kind: match change.kind {
            FileChangeKind::Created => wire::WatchEventKind::Created,
            FileChangeKind::Modified => wire::WatchEventKind::Modified,
            FileChangeKind::Removed => wire::WatchEventKind::Removed,
            FileChangeKind::Renamed => wire::WatchEventKind::Renamed,
            FileChangeKind::Mode => wire::WatchEventKind::Mode,
            FileChangeKind::Overflow => wire::WatchEventKind::Overflow,
        },
        path: change.path,
    }
}
