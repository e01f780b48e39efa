//! Copies: tars that are made here of what a context or another sandbox gave, and unpacked by the
//! guest of the sandbox that they go into. No path of either is resolved on this machine.

use std::ffi::OsStr;
use std::io::Write;
use std::sync::Arc;

use pinfold_images::{ContextError, CopyAction, Owner as Ids, Selection, Style};
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_model::{Error, Image};
use pinfold_runtime::guest::{FileKind, FilePath, GuestError};
use tokio_util::io::SyncIoBridge;

use super::context::{context_failure, open_context};
use super::make::Use;
use super::owner::{Owner, failure};
use super::ownership;
use crate::errors::guest_error;
use crate::live::{Lease, LiveSandbox};

/// Entries of a directory that are looked at for a wildcard.
const LISTED_MAX: usize = 100_000;
const PAGE: u32 = 1000;
/// Of everything that is copied out of a context, unless something else was asked for.
const ROOT: Ids = Ids { uid: 0, gid: 0 };

/// What there is at a destination.
enum There {
    Nothing,
    Directory,
    Other,
}

impl Owner {
    /// Files that the Dockerfile or the request holds.
    pub(super) async fn copy_files(
        &self,
        copy: &CopyAction,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<(), BuildFailure> {
        let lease = self.lease(sandbox).await?;
        let only = match copy.files.as_slice() {
            [(name, _)] => Some(name.as_str()),
            _ => None,
        };
        let style = self.style(copy, only, Some(ROOT), &lease).await?;
        let files = copy.files.clone();
        pour(&lease, "/", move |sink| {
            pinfold_images::files(&files, &style, sink)
        })
        .await
    }

    pub(super) async fn copy_context(
        &self,
        copy: &CopyAction,
        selection: &Selection,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<(), BuildFailure> {
        let lease = self.lease(sandbox).await?;
        let style = self
            .style(copy, selection.single_file(), Some(ROOT), &lease)
            .await?;
        if selection.single_file().is_none() && selection.sources() > 1 && !copy.into_directory {
            return Err(not_a_directory(copy));
        }
        if selection.has_entries() || selection.archives().is_empty() {
            let (source, selection) = (open_context(self).await?, selection.clone());
            let style = style.clone();
            pour(&lease, "/", move |sink| {
                pinfold_images::recast(source, &selection, &style, sink)
            })
            .await?;
        }
        for name in selection.archives() {
            let (source, name) = (open_context(self).await?, name.clone());
            let unpack = move |sink: &mut dyn Write| pinfold_images::unpacked(source, &name, sink);
            pour(&lease, &copy.destination, unpack).await?;
        }
        Ok(())
    }

    /// Out of a sandbox that is made of the image for this.
    pub(super) async fn copy_from(
        &mut self,
        copy: &CopyAction,
        from: &Image,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<(), BuildFailure> {
        let source = self.boot(from, None, Use::Source).await?;
        let out = self.lease(&source).await?;
        let into = self.lease(sandbox).await?;
        let mut sources = Vec::new();
        for path in &copy.paths {
            sources.extend(matching(&out, path).await?);
        }
        if sources.len() > 1 && !copy.into_directory {
            return Err(not_a_directory(copy));
        }
        for path in sources {
            let at = FilePath::new(&path);
            let stat = out.guest().stat(&at).await.map_err(guest_failure)?;
            let file = (stat.kind != FileKind::Directory).then(|| base_name(&path));
            let style = self.style(copy, file, None, &into).await?;
            let transfer = out.guest().archive(&at).await.map_err(guest_failure)?;
            let tar = SyncIoBridge::new(transfer);
            pour(&into, "/", move |sink| {
                pinfold_images::written(tar, &style, sink)
            })
            .await?;
        }
        drop((out, into));
        let id = source.id().clone();
        drop(source);
        self.destroy(&id).await
    }

    /// Where things go and what is said of them. `only` is the name of the one file that is copied.
    async fn style(
        &self,
        copy: &CopyAction,
        only: Option<&str>,
        owner: Option<Ids>,
        into: &Lease,
    ) -> Result<Style, BuildFailure> {
        let owner = match &copy.chown {
            Some(chown) => Some(ownership::ids(into, chown).await?),
            None => owner,
        };
        let there = match into.guest().stat(&FilePath::new(&copy.destination)).await {
            Ok(stat) if stat.kind == FileKind::Directory => There::Directory,
            Ok(_) => There::Other,
            Err(error) => match guest_error(error) {
                error if error.kind() == pinfold_model::ErrorKind::NotFound => There::Nothing,
                error => return Err(failure(&error)),
            },
        };
        let style = Style {
            owner,
            mode: copy.chmod,
            destination: copy.destination.clone(),
            rename: None,
            make_destination: matches!(there, There::Nothing),
        };
        match (only, there) {
            (Some(_), There::Nothing | There::Other) if !copy.into_directory => {
                let (parent, name) = copy.destination.rsplit_once('/').unwrap_or(("", ""));
                Ok(Style {
                    destination: format!("{parent}/"),
                    rename: Some(name.to_owned()),
                    make_destination: false,
                    ..style
                })
            }
            (_, There::Other) => Err(not_a_directory(copy)),
            _ => Ok(style),
        }
    }
}

/// Writes a tar into the sandbox, below `directory`, in a thread of its own.
async fn pour<F>(lease: &Lease, directory: &str, write: F) -> Result<(), BuildFailure>
where
    F: FnOnce(&mut dyn Write) -> Result<(), ContextError> + Send + 'static,
{
    let begun = lease.guest().extract(&FilePath::new(directory), true).await;
    let mut sink = SyncIoBridge::new(begun.map_err(guest_failure)?);
    let writing = tokio::task::spawn_blocking(move || {
        let written = write(&mut sink);
        (written, sink.into_inner())
    });
    let (written, transfer) = writing
        .await
        .map_err(|error| failure(&Error::internal(error)))?;
    // Where the sandbox stopped reading, the end of the transfer knows why.
    let unpacked = transfer.finish().await.map_err(guest_failure);
    match written {
        Err(ContextError::Write(_)) | Ok(()) => unpacked.map(drop),
        Err(error) => Err(context_failure(error)),
    }
}

/// What a source of another sandbox names; every path is absolute there.
async fn matching(lease: &Lease, path: &str) -> Result<Vec<String>, BuildFailure> {
    let mut found = vec![String::new()];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for directory in found {
            match pinfold_images::wildcard(part) {
                None => next.push(format!("{directory}/{part}")),
                Some(pattern) => {
                    let pattern = pattern.map_err(|why| refused(path, &why))?;
                    let mut names = names_in(lease, &format!("{directory}/")).await?;
                    names.retain(|name| pattern.is_match(name));
                    names.sort_unstable();
                    next.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
                }
            }
        }
        found = next;
    }
    if found.is_empty() {
        return Err(refused(path, "nothing matches"));
    }
    Ok(found
        .into_iter()
        .map(|path| match path.is_empty() {
            true => "/".to_owned(),
            false => path,
        })
        .collect())
}

async fn names_in(lease: &Lease, directory: &str) -> Result<Vec<String>, BuildFailure> {
    let at = FilePath::new(directory);
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = lease.guest().list(&at, OsStr::new(&after), PAGE).await;
        let page = page.map_err(guest_failure)?;
        let found = page.entries.iter().filter_map(|entry| entry.name.to_str());
        names.extend(found.map(str::to_owned));
        if names.len() > LISTED_MAX {
            return Err(refused(
                directory,
                "the directory has too many entries for a wildcard",
            ));
        }
        if !page.more || names.last().is_none_or(|last| *last == after) {
            return Ok(names);
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn refused(path: &str, why: &str) -> BuildFailure {
    BuildFailure::new(BuildFault::StepFailed, format!("{path:?}: {why}"))
}

fn not_a_directory(copy: &CopyAction) -> BuildFailure {
    let text = format!(
        "the destination {:?} is no directory; end it with / where several things go into it",
        copy.destination
    );
    BuildFailure::new(BuildFault::StepFailed, text)
}

fn guest_failure(error: GuestError) -> BuildFailure {
    failure(&guest_error(error))
}
