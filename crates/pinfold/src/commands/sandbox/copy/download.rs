//! From a sandbox to here. What a sandbox sends is hostile: it decides no path outside the target,
//! no owner and no special bits.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use pinfold_sdk::{FileEntry, FileKind, Files};
use tokio::sync::mpsc;

use crate::output::byte_bar;

/// Pieces of an archive that may wait to be unpacked.
const PIECES_MAX: usize = 8;

pub(super) async fn copy(files: &Files, source: &str, target: &Path) -> Result<()> {
    let entry = files.stat(source).await?;
    let target = resolved(&entry, target)?;
    match entry.kind {
        FileKind::Directory => directory(files, &entry, &target).await,
        FileKind::File => file(files, &entry, &target).await,
        _ => bail!("{source} is neither a file nor a directory"),
    }
}

/// Complete under its name, or not there.
async fn file(files: &Files, entry: &FileEntry, target: &Path) -> Result<()> {
    let bar = byte_bar(&entry.path, Some(entry.size_bytes));
    let counted = bar.clone();
    let stream = files.read(&entry.path).await?;
    let stream = stream.on_progress(move |read| counted.set_position(read));
    let mode = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o644) & 0o777;
    let saved = crate::download::save_as(stream, target, |part| {
        std::fs::set_permissions(part, std::fs::Permissions::from_mode(mode))
    })
    .await;
    bar.finish_and_clear();
    saved
}

async fn directory(files: &Files, entry: &FileEntry, target: &Path) -> Result<()> {
    let bar = byte_bar(&entry.path, None);
    let counted = bar.clone();
    let stream = files.archive(&entry.path).await?;
    let mut stream = stream.on_progress(move |read| counted.set_position(read));
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let place = target.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack(Pieces::new(pieces), &place));
    while let Some(piece) = stream.chunk().await? {
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    bar.finish_and_clear();
    unpacking
        .await?
        .with_context(|| format!("cannot unpack into {}", target.display()))
}

fn unpack(archive: Pieces, target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_ownerships(false);
    archive.set_preserve_permissions(false);
    archive.set_unpack_xattrs(false);
    // `unpack` refuses names that lead out of the target, also through links it has made.
    archive.unpack(target)
}

fn resolved(entry: &FileEntry, target: &Path) -> Result<PathBuf> {
    if !target.is_dir() {
        return Ok(target.to_owned());
    }
    match entry.name.as_str() {
        "" | "." | ".." | "/" => Ok(target.to_owned()),
        name if name.contains('/') => Err(anyhow!("the server named the file {name:?}")),
        name => Ok(target.join(name)),
    }
}

/// Chunks of a download, as something to read from.
struct Pieces {
    waiting: mpsc::Receiver<Bytes>,
    present: Bytes,
}

impl Pieces {
    fn new(waiting: mpsc::Receiver<Bytes>) -> Self {
        Self {
            waiting,
            present: Bytes::new(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.present.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.present = piece,
                None => return Ok(0),
            }
        }
        let taken = self.present.split_to(self.present.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
