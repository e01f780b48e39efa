//! Use cases of files inside a sandbox. Every path is resolved by the guest, inside; this machine
//! never opens one of them.
//!
//! Relative paths begin at the sandbox's working directory. The sandbox's default user does the
//! work, so it may touch what a command of that user may touch. A request may be confined to a
//! directory ([`FileAt::within`]): whatever its path leads through, it ends in there or is refused.

mod at;
mod entry;
mod read;
mod watch;
mod write;

use std::ops::RangeInclusive;

use pinfold_model::{Code, Ctx, Error, Result, SandboxId};
use pinfold_runtime::guest::{Follow, WriteOptions};

use crate::Engine;
use crate::errors::guest_error;
use crate::live::Lease;
use crate::usecase::Note;

pub use at::FileAt;
pub use entry::{DirectoryCursor, DirectoryPage, FileEntry, FileKind, Listing};
pub use read::FileReader;
pub use watch::{FileChange, FileChangeKind, FileWatch};
pub use write::FileWriter;

/// Entries of one listing at most.
const LISTING: RangeInclusive<u32> = 1..=100_000;
/// And of one part of it.
const PAGE: RangeInclusive<usize> = 1..=1000;
/// Permission bits, setuid, setgid and sticky included.
const MODE_MAX: u32 = 0o7777;

/// Which bytes of a file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadRange {
    pub offset: u64,
    /// `None`: to the end.
    pub length: Option<u64>,
}

/// How to write a file. It replaces the target whole, or leaves it as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    pub path: String,
    /// `None`: as the replaced file had, else `0644`.
    pub mode: Option<u32>,
    /// Make missing directories above it.
    pub parents: bool,
    /// Fail where the file exists.
    pub exclusive: bool,
    /// Commit only if exactly this many bytes come.
    pub expect_bytes: Option<u64>,
    /// As in [`FileAt::within`].
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeDirectory {
    pub path: String,
    /// Make missing directories above it, and accept that it exists.
    pub parents: bool,
    /// `None`: `0755`.
    pub mode: Option<u32>,
    /// As in [`FileAt::within`].
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveFile {
    pub from: String,
    pub to: String,
    /// Replace what is there; otherwise that is a conflict.
    pub overwrite: bool,
    /// As in [`FileAt::within`], for both paths.
    pub within: Option<String>,
}

/// Refuses what is no directory, or leads out of where it has to be.
pub(crate) async fn require_directory(lease: &Lease, at: FileAt<'_>) -> Result<()> {
    let entry = entry::stat(lease, &at.located(lease, Follow::Yes)?).await?;
    match entry.kind {
        FileKind::Directory => Ok(()),
        FileKind::File | FileKind::Symlink | FileKind::Other => Err(Error::new(
            Code::NotADirectory,
            format!("{:?} is not a directory", at.path()),
        )),
    }
}

impl Engine {
    /// What a path is. A symlink in its last part is described, not followed.
    pub async fn stat_file<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
    ) -> Result<FileEntry> {
        self.stat(ctx, id, path.into(), Follow::No).await
    }

    /// What a path leads to, symlinks followed.
    pub async fn stat_target<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
    ) -> Result<FileEntry> {
        self.stat(ctx, id, path.into(), Follow::Yes).await
    }

    async fn stat(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: FileAt<'_>,
        follow: Follow,
    ) -> Result<FileEntry> {
        self.timed(ctx, "file.stat", async {
            let lease = self.lease(ctx, id).await?;
            entry::stat(&lease, &path.located(&lease, follow)?).await
        })
        .await
    }

    /// A directory in order of name, at most `limit` entries (1 to 100,000). Confined to a
    /// directory, symlinks that lead to something within it are shown as that.
    pub async fn list_directory<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        limit: u32,
    ) -> Result<Listing> {
        if !LISTING.contains(&limit) {
            return Err(Error::invalid("limit", "limit must be from 1 to 100000"));
        }
        self.timed(ctx, "file.list", async {
            let lease = self.lease(ctx, id).await?;
            let at = path.into().located(&lease, Follow::Yes)?;
            let listing = entry::list(&lease, &at, limit).await?;
            match at.within {
                Some(_) => Ok(entry::links_resolved(&lease, &at, listing).await),
                None => Ok(listing),
            }
        })
        .await
    }

    /// The part of a directory that begins at `after`, at most `limit` entries (1 to 1,000), for who
    /// lists one of any size and keeps none of it. What changes meanwhile is listed or is not; the
    /// rest is listed once.
    pub async fn directory_page<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        after: &DirectoryCursor,
        limit: usize,
    ) -> Result<DirectoryPage> {
        if !PAGE.contains(&limit) {
            return Err(Error::invalid("limit", "limit must be from 1 to 1000"));
        }
        self.timed(ctx, "file.list", async {
            let lease = self.lease(ctx, id).await?;
            let at = path.into().located(&lease, Follow::Yes)?;
            entry::page(&lease, &at, after, limit).await
        })
        .await
    }

    /// Reads a file's bytes as a stream, following symlinks. A range that begins behind the end
    /// holds nothing.
    pub async fn read_file<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        range: ReadRange,
    ) -> Result<FileReader> {
        self.timed(
            ctx,
            "file.read",
            self.open_file(ctx, id, path.into(), range),
        )
        .await
    }

    pub(crate) async fn open_file(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: FileAt<'_>,
        range: ReadRange,
    ) -> Result<FileReader> {
        let lease = self.lease(ctx, id).await?;
        let at = path.located(&lease, Follow::Yes)?;
        FileReader::file(lease, &at, range).await
    }

    /// Reads a whole file of at most `max_bytes`; a larger one is `file_too_large`.
    pub async fn read_whole_file<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        max_bytes: usize,
    ) -> Result<(FileEntry, Vec<u8>)> {
        self.timed(ctx, "file.read", async {
            let lease = self.lease(ctx, id).await?;
            let at = path.into().located(&lease, Follow::Yes)?;
            let range = ReadRange {
                offset: 0,
                length: Some(max_bytes as u64 + 1),
            };
            FileReader::file(lease, &at, range)
                .await?
                .whole(max_bytes)
                .await
        })
        .await
    }

    /// A tar of a directory or file, names relative to it.
    pub async fn archive(&self, ctx: &Ctx, id: &SandboxId, path: &str) -> Result<FileReader> {
        self.timed(ctx, "file.archive", async {
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::from(path).located(&lease, Follow::Yes)?;
            FileReader::archive(lease, &at).await
        })
        .await
    }

    /// Begins to write a file; nothing is seen at its path before [`FileWriter::finish`].
    pub async fn write_file(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: WriteFile,
    ) -> Result<FileWriter> {
        let note = file_note("file.write", id, &request.path);
        self.audited_behind(ctx, &note, async {
            let options = WriteOptions {
                mode: checked(request.mode)?.unwrap_or(0),
                parents: request.parents,
                exclusive: request.exclusive,
                expect_bytes: request.expect_bytes,
            };
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::of(&request.path, request.within.as_deref());
            let at = at.located(&lease, Follow::Yes)?;
            FileWriter::file(lease, at, options).await
        })
        .await
    }

    /// Writes a file whose whole content is at hand.
    pub async fn put_file(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: WriteFile,
        content: &[u8],
    ) -> Result<FileEntry> {
        let mut writer = self.write_file(ctx, id, request).await?;
        match writer.write(content).await {
            Ok(()) => writer.finish().await,
            // The end of the transfer knows why (a full disk, say); the write does not.
            Err(error) => Err(writer.finish().await.err().unwrap_or(error)),
        }
    }

    /// Begins to unpack a tar (plain, not compressed) below a directory, which is made if missing.
    /// What was unpacked before a failure stays.
    pub async fn extract(&self, ctx: &Ctx, id: &SandboxId, path: &str) -> Result<FileWriter> {
        let note = file_note("file.extract", id, path);
        self.audited_behind(ctx, &note, async {
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::from(path).located(&lease, Follow::Yes)?;
            FileWriter::archive(lease, at).await
        })
        .await
    }

    /// Changes of a path, and below it where `recursive`, from now until the watch is dropped.
    pub async fn watch_files(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: &str,
        recursive: bool,
    ) -> Result<FileWatch> {
        self.timed(ctx, "file.watch", async {
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::from(path).located(&lease, Follow::Yes)?;
            FileWatch::begin(lease, &at, recursive).await
        })
        .await
    }

    pub async fn make_directory(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: MakeDirectory,
    ) -> Result<FileEntry> {
        let note = file_note("file.mkdir", id, &request.path);
        self.audited_behind(ctx, &note, async {
            let mode = checked(request.mode)?.unwrap_or(0);
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::of(&request.path, request.within.as_deref());
            let at = at.located(&lease, Follow::No)?;
            let made = lease.guest().make_dir(&at, request.parents, mode).await;
            made.map_err(guest_error).map_err(parent_missing)?;
            entry::stat(&lease, &at).await
        })
        .await
    }

    pub async fn move_file(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: MoveFile,
    ) -> Result<FileEntry> {
        let note = file_note("file.move", id, &request.from);
        note.fact("to", request.to.as_str());
        self.audited_behind(ctx, &note, async {
            let lease = self.lease(ctx, id).await?;
            let within = request.within.as_deref();
            let from = FileAt::of(&request.from, within).located(&lease, Follow::No)?;
            let to = FileAt::of(&request.to, within).located(&lease, Follow::No)?;
            entry::target_is_within(&lease, &from).await?;
            entry::target_is_within(&lease, &to).await?;
            let moved = lease.guest().move_(&from, &to, request.overwrite).await;
            match moved.map_err(guest_error) {
                // Which of the two it was decides what the caller has to do.
                Err(error) if entry::stat(&lease, &from).await.is_ok() => {
                    Err(parent_missing(error))
                }
                Err(error) => Err(error),
                Ok(()) => entry::stat(&lease, &to).await,
            }
        })
        .await
    }

    /// Removes a file, a symlink (not what it points to), or a directory; one that is not empty
    /// only where `recursive`.
    pub async fn remove_file<'a>(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: impl Into<FileAt<'a>>,
        recursive: bool,
    ) -> Result<()> {
        let path = path.into();
        let note = file_note("file.remove", id, path.path());
        self.audited_behind(ctx, &note, async {
            let lease = self.lease(ctx, id).await?;
            let at = path.located(&lease, Follow::No)?;
            entry::target_is_within(&lease, &at).await?;
            lease
                .guest()
                .remove(&at, recursive)
                .await
                .map_err(guest_error)
        })
        .await
    }

    /// Sets permission bits, following symlinks.
    pub async fn set_file_mode(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        path: &str,
        mode: u32,
    ) -> Result<FileEntry> {
        let note = file_note("file.chmod", id, path);
        self.audited_behind(ctx, &note, async {
            checked(Some(mode))?;
            let lease = self.lease(ctx, id).await?;
            let at = FileAt::from(path).located(&lease, Follow::Yes)?;
            lease
                .guest()
                .set_mode(&at, mode)
                .await
                .map_err(guest_error)?;
            entry::stat(&lease, &at).await
        })
        .await
    }

    /// A running sandbox that counts as in use for as long as the lease is held.
    pub(crate) async fn lease(&self, ctx: &Ctx, id: &SandboxId) -> Result<Lease> {
        let live = self.need_live(ctx, id).await?;
        live.lease(self.config().attach_timeout).await
    }
}

fn file_note(action: &'static str, id: &SandboxId, path: &str) -> Note {
    let note = Note::new(action);
    note.about(id.as_str());
    note.fact("path", path);
    note
}

/// What was to be put somewhere found no directory there.
fn parent_missing(error: Error) -> Error {
    if error.code() == Code::FileNotFound {
        return Error::new(Code::ParentNotFound, error.message());
    }
    error
}

fn checked(mode: Option<u32>) -> Result<Option<u32>> {
    match mode {
        Some(mode) if mode > MODE_MAX => Err(Error::invalid(
            "mode",
            "mode must hold permission bits only, at most 7777 in octal",
        )),
        _ => Ok(mode),
    }
}
