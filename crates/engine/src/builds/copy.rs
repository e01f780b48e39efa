//! Copies: tars that are made here of what a context or another sandbox gave, and unpacked by the
//! guest of the sandbox that they go into. No path of either is resolved on this machine.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::Arc;

use pinfold_images::{Context, ContextError, CopyAction, Owner as Ids, Style};
use pinfold_model::Image;
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_runtime::guest::{FileKind, FilePath, GuestError};
use tokio::sync::oneshot;
use tokio_util::io::SyncIoBridge;

use super::context::{context_failure, open_context, select};
use super::make::Use;
use super::owner::{Owner, failure};
use super::ownership;
use crate::errors::guest_error;
use crate::live::{Lease, LiveSandbox};

/// Bytes of names that are looked at for the wildcards of one copy, and of the paths that they come to.
const MATCHING_MAX_BYTES: usize = 32 << 20;
const PAGE: u32 = 1000;
const DIRECTORY_MODE: u32 = 0o755;
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
        if let Some(user) = &copy.chown {
            make_parents(copy, user, &lease).await;
        }
        let files = copy.files.clone();
        let write = move |sink: &mut dyn Write| pinfold_images::files(&files, &style, sink);
        self.pour(&lease, "/", write).await
    }

    pub(super) async fn copy_context(
        &self,
        copy: &CopyAction,
        context: &Arc<Context>,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<(), BuildFailure> {
        let selection = Arc::new(select(self, context, copy).await?);
        let lease = self.lease(sandbox).await?;
        let style = self
            .style(copy, selection.single_file(), Some(ROOT), &lease)
            .await?;
        if selection.single_file().is_none() && selection.sources() > 1 && !copy.into_directory {
            return Err(not_a_directory(copy));
        }
        if selection.has_entries() || selection.archives().is_empty() {
            let (source, selection) = (open_context(self).await?, Arc::clone(&selection));
            let recast = move |sink: &mut dyn Write| {
                pinfold_images::recast(source, &selection, &style, sink)
            };
            self.pour(&lease, "/", recast).await?;
        }
        for name in selection.archives() {
            let (source, name) = (open_context(self).await?, name.clone());
            let unpack = move |sink: &mut dyn Write| pinfold_images::unpacked(source, &name, sink);
            self.pour(&lease, &copy.destination, unpack).await?;
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
        let mut room = Room(MATCHING_MAX_BYTES);
        for path in &copy.paths {
            sources.extend(matching(&out, path, &mut room).await?);
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
            let mut tar = SyncIoBridge::new(transfer);
            let (give_back, given_back) = oneshot::channel();
            let write = move |sink: &mut dyn Write| {
                pinfold_images::written(&mut tar, &style, sink)?;
                io::copy(&mut tar, &mut io::sink()).map_err(ContextError::Read)?;
                let _ = give_back.send(tar.into_inner());
                Ok(())
            };
            self.pour(&into, "/", write).await?;
            // An archive that broke off ends as one that is whole: only the guest knows.
            if let Ok(transfer) = given_back.await {
                transfer.finish().await.map_err(guest_failure)?;
            }
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
            made_at: u64::try_from(self.shared.clock.now().as_second()).unwrap_or(0),
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

    /// Writes a tar into the sandbox, below `directory`, in a thread of its own.
    async fn pour<F>(&self, lease: &Lease, directory: &str, write: F) -> Result<(), BuildFailure>
    where
        F: FnOnce(&mut dyn Write) -> Result<(), ContextError> + Send + 'static,
    {
        let begun = lease.guest().extract(&FilePath::new(directory), true).await;
        let mut sink = SyncIoBridge::new(begun.map_err(guest_failure)?);
        let writing = self.blocking(move || {
            let written = write(&mut sink);
            (written, sink.into_inner())
        });
        let (written, transfer) = writing.await?;
        // Where the sandbox stopped reading, the end of the transfer knows why.
        let unpacked = transfer.finish().await.map_err(guest_failure);
        match written {
            Err(ContextError::Write(_)) | Ok(()) => unpacked.map(drop),
            Err(error) => Err(context_failure(error)),
        }
    }
}

/// What is missing above files that belong to somebody is made by them, where they may; the rest is
/// made as root's, when the files are unpacked.
async fn make_parents(copy: &CopyAction, user: &str, lease: &Lease) {
    let names = copy.files.iter().map(|(name, _)| name);
    let parents: BTreeSet<&str> = names
        .filter_map(|name| Some(name.rsplit_once('/')?.0))
        .collect();
    for parent in parents {
        let at = FilePath {
            user: user.to_owned(),
            ..FilePath::new(format!(
                "{}/{parent}",
                copy.destination.trim_end_matches('/')
            ))
        };
        if let Err(error) = lease.guest().make_dir(&at, true, DIRECTORY_MODE).await {
            tracing::debug!(%error, "a directory is root's to make");
        }
    }
}

/// Bytes that the wildcards of a copy may still come to.
struct Room(usize);

impl Room {
    fn take(&mut self, path: &str, bytes: usize) -> Result<(), BuildFailure> {
        let left = self.0.checked_sub(bytes);
        self.0 =
            left.ok_or_else(|| refused(path, "too many names for the wildcards of one copy"))?;
        Ok(())
    }
}

/// What a source of another sandbox names; every path is absolute there.
async fn matching(lease: &Lease, path: &str, room: &mut Room) -> Result<Vec<String>, BuildFailure> {
    let mut found = vec![String::new()];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let pattern = pinfold_images::wildcard(part).transpose();
        let pattern = pattern.map_err(|why| refused(path, &why))?;
        let mut next = Vec::new();
        for directory in found {
            let mut names = vec![part.to_owned()];
            if let Some(pattern) = &pattern {
                names = names_in(lease, &format!("{directory}/"), room).await?;
                names.retain(|name| pattern.is_match(name));
                names.sort_unstable();
            }
            for name in names {
                let one = format!("{directory}/{name}");
                room.take(path, one.len())?;
                next.push(one);
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

async fn names_in(
    lease: &Lease,
    directory: &str,
    room: &mut Room,
) -> Result<Vec<String>, BuildFailure> {
    let at = FilePath::new(directory);
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = lease.guest().list(&at, OsStr::new(&after), PAGE).await;
        let page = page.map_err(guest_failure)?;
        for name in page.entries.iter().filter_map(|entry| entry.name.to_str()) {
            room.take(directory, name.len() + 1)?;
            names.push(name.to_owned());
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
