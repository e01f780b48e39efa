//! Making the tar that a guest unpacks out of the one that a context or another sandbox gave.

use std::io::{self, Read, Write};

use tar::{Archive, Builder, Entry, EntryType, Header};

use super::index::name_of;
use super::{CONTEXT_MAX_BYTES, ContextError, Selection};
use crate::codec::decompressed;

/// Ids that files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What is said of everything that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// `None`: as in the source.
    pub owner: Option<Owner>,
    /// Of files and directories; `None`: as in the source.
    pub mode: Option<u32>,
    /// Absolute: where everything goes below.
    pub destination: String,
    /// Instead of the one file's own name.
    pub rename: Option<String>,
    /// The destination is a directory that is not there yet.
    pub make_destination: bool,
}

impl Style {
    fn place(&self, name: &str) -> String {
        let name = self.rename.as_deref().unwrap_or(name);
        let destination = self.destination.trim_matches('/');
        match destination.is_empty() {
            true => name.to_owned(),
            false => format!("{destination}/{name}"),
        }
    }

    fn dress(&self, header: &Header, kind: EntryType) -> Header {
        let mut dressed = Header::new_gnu();
        dressed.set_entry_type(kind);
        dressed.set_size(0);
        dressed.set_mtime(header.mtime().unwrap_or(0));
        dressed.set_mode(
            self.mode
                .unwrap_or_else(|| header.mode().unwrap_or(0o644) & 0o7777),
        );
        let owner = self.owner;
        let id = |own: io::Result<u64>, given: Option<u32>| {
            given.map_or_else(|| own.unwrap_or(0), u64::from)
        };
        dressed.set_uid(id(header.uid(), owner.map(|owner| owner.uid)));
        dressed.set_gid(id(header.gid(), owner.map(|owner| owner.gid)));
        dressed
    }
}

/// The destination itself, where it has to be made.
fn begin<W: Write>(style: &Style, sink: W) -> Result<Builder<W>, ContextError> {
    let mut out = Builder::new(sink);
    let place = style.destination.trim_matches('/');
    if style.make_destination && !place.is_empty() {
        let mut plain = Header::new_gnu();
        plain.set_mode(0o755);
        plain.set_mtime(0);
        plain.set_uid(0);
        plain.set_gid(0);
        let mut header = style.dress(&plain, EntryType::Directory);
        header.set_mode(0o755);
        let made = out.append_data(&mut header, format!("{place}/"), io::empty());
        made.map_err(ContextError::Write)?;
    }
    Ok(out)
}

/// Writes files whose content is at hand: names, relative to the destination, and texts.
///
/// # Errors
/// The sink cannot be written.
pub fn files(
    files: &[(String, String)],
    style: &Style,
    sink: impl Write,
) -> Result<(), ContextError> {
    let mut out = begin(style, sink)?;
    let mut plain = Header::new_gnu();
    plain.set_mode(0o644);
    plain.set_mtime(0);
    plain.set_uid(0);
    plain.set_gid(0);
    for (name, text) in files {
        let mut header = style.dress(&plain, EntryType::Regular);
        header.set_size(text.len() as u64);
        let made = out.append_data(&mut header, style.place(name), text.as_bytes());
        made.map_err(ContextError::Write)?;
    }
    out.into_inner().map(drop).map_err(ContextError::Write)
}

/// Writes what was selected of a context, with names from the root of a file system on.
///
/// # Errors
/// The source cannot be read, or the sink not be written.
pub fn recast(
    source: impl Read,
    selection: &Selection,
    style: &Style,
    sink: impl Write,
) -> Result<(), ContextError> {
    let mut out = begin(style, sink)?;
    for_each(source, |name, entry| {
        match selection.files.get(name) {
            Some(places) if is_file(entry) => {
                let places: Vec<String> = places.iter().map(|name| style.place(name)).collect();
                return file(&mut out, style, entry, &places);
            }
            _ => {}
        }
        for place in selection.others.get(name).into_iter().flatten() {
            other(&mut out, style, entry, &style.place(place))?;
        }
        Ok(true)
    })?;
    out.into_inner().map(drop).map_err(ContextError::Write)
}

/// Writes a whole archive of another sandbox's path: a directory's content (`prefix` empty), or the
/// one file of it.
///
/// # Errors
/// The source cannot be read, or the sink not be written.
pub fn written(source: impl Read, style: &Style, sink: impl Write) -> Result<(), ContextError> {
    let mut out = begin(style, sink)?;
    for_each(source, |name, entry| {
        let place = style.place(name);
        if is_file(entry) {
            return file(&mut out, style, entry, &[place]);
        }
        if entry.header().entry_type() == EntryType::Link {
            let target = entry
                .link_name_bytes()
                .map(|t| t.into_owned())
                .unwrap_or_default();
            let target = name_of(&target)?.unwrap_or_default();
            let mut header = style.dress(entry.header(), EntryType::Link);
            let linked = out.append_link(&mut header, &place, style.place(&target));
            return linked.map(|()| true).map_err(ContextError::Write);
        }
        other(&mut out, style, entry, &place)?;
        Ok(true)
    })?;
    out.into_inner().map(drop).map_err(ContextError::Write)
}

/// Writes the decompressed bytes of an archive that stands in a context as a file.
///
/// # Errors
/// It is not there, or of a kind that is not read.
pub fn unpacked(source: impl Read, name: &str, mut sink: impl Write) -> Result<(), ContextError> {
    let mut found = false;
    for_each(source, |entry_name, entry| {
        if entry_name != name || !is_file(entry) {
            return Ok(true);
        }
        found = true;
        let plain = decompressed(entry);
        let plain = plain.map_err(|error| ContextError::refused(format!("{name}: {error}")))?;
        let mut plain = plain.take(CONTEXT_MAX_BYTES);
        let copied = io::copy(&mut plain, &mut sink).and_then(|_| sink.flush());
        copied.map(|()| false).map_err(ContextError::Write)
    })?;
    match found {
        true => Ok(()),
        false => Err(ContextError::refused(format!(
            "the context holds no {name:?}"
        ))),
    }
}

/// Every entry with a name, until the answer is `false`.
fn for_each<R: Read>(
    source: R,
    mut visit: impl FnMut(&str, &mut Entry<'_, &mut dyn Read>) -> Result<bool, ContextError>,
) -> Result<(), ContextError> {
    let source = decompressed(source).map_err(|error| ContextError::refused(error.to_string()))?;
    let mut source = source.take(CONTEXT_MAX_BYTES);
    let source: &mut dyn Read = &mut source;
    let mut archive = Archive::new(source);
    for entry in archive.entries().map_err(ContextError::Read)? {
        let mut entry = entry.map_err(ContextError::Read)?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let Some(name) = name_of(&entry.path_bytes())? else {
            continue;
        };
        if !visit(&name, &mut entry)? {
            return Ok(());
        }
    }
    Ok(())
}

fn is_file<R: Read>(entry: &Entry<'_, R>) -> bool {
    matches!(
        entry.header().entry_type(),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    )
}

/// The first place gets the content, the others are names of the same file.
fn file<R: Read>(
    out: &mut Builder<impl Write>,
    style: &Style,
    entry: &mut Entry<'_, R>,
    places: &[String],
) -> Result<bool, ContextError> {
    let Some((first, more)) = places.split_first() else {
        return Ok(true);
    };
    let mut header = style.dress(entry.header(), EntryType::Regular);
    header.set_size(entry.size());
    out.append_data(&mut header, first, entry)
        .map_err(ContextError::Write)?;
    for place in more {
        let mut header = style.dress(&header, EntryType::Link);
        out.append_link(&mut header, place, first)
            .map_err(ContextError::Write)?;
    }
    Ok(true)
}

fn other<R: Read>(
    out: &mut Builder<impl Write>,
    style: &Style,
    entry: &Entry<'_, R>,
    place: &str,
) -> Result<(), ContextError> {
    match entry.header().entry_type() {
        EntryType::Directory => {
            let mut header = style.dress(entry.header(), EntryType::Directory);
            let made = out.append_data(&mut header, format!("{place}/"), io::empty());
            made.map_err(ContextError::Write)
        }
        EntryType::Symlink => {
            let target = entry
                .link_name_bytes()
                .map(|t| t.into_owned())
                .unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let mut header = style.dress(entry.header(), EntryType::Symlink);
            header.set_mode(0o777);
            let made = out.append_link(&mut header, place, target);
            made.map_err(ContextError::Write)
        }
        _ => Ok(()),
    }
}
