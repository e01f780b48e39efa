//! Making the tar that a guest unpacks out of the one that a context or another sandbox gave.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

use super::entries::{Entry, for_each};
use super::index::name_of;
use super::{CONTEXT_MAX_BYTES, ContextError, Selection};
use crate::codec::decompressed;
use crate::unpack::{EntryKind, Member};

const BUFFER_BYTES: usize = 128 << 10;

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
    /// When that directory is made, and what comes out of the Dockerfile itself: Unix time in seconds.
    pub made_at: u64,
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

    fn dress(&self, own: Said, kind: EntryType) -> Header {
        let mut dressed = Header::new_gnu();
        dressed.set_entry_type(kind);
        dressed.set_size(0);
        dressed.set_mtime(own.mtime);
        dressed.set_mode(self.mode.unwrap_or(own.mode));
        let owner = self.owner;
        dressed.set_uid(owner.map_or(own.uid, |owner| owner.uid.into()));
        dressed.set_gid(owner.map_or(own.gid, |owner| owner.gid.into()));
        dressed
    }
}

/// What the source says of an entry.
#[derive(Debug, Clone, Copy)]
struct Said {
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
}

impl Said {
    /// Of what has no source: root's, of now.
    const fn new(mode: u32, style: &Style) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: style.made_at,
        }
    }

    fn of(member: &Member) -> Self {
        Self {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: u64::try_from(member.mtime.0).unwrap_or(0),
        }
    }
}

/// The destination itself, where it has to be made.
fn begin<W: Write>(style: &Style, sink: W) -> Result<Builder<W>, ContextError> {
    let mut out = Builder::new(sink);
    let place = style.destination.trim_matches('/');
    if style.make_destination && !place.is_empty() {
        let mut header = style.dress(Said::new(0o755, style), EntryType::Directory);
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
    for (name, text) in files {
        let mut header = style.dress(Said::new(0o644, style), EntryType::Regular);
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
    for_each(plain(source)?, |name, mut entry| {
        match selection.files.get(name) {
            Some(places) if entry.is_file() => {
                let places: Vec<String> = places.iter().map(|name| style.place(name)).collect();
                file(&mut out, style, &mut entry, &places)?;
                return Ok(true);
            }
            _ => {}
        }
        for place in selection.others.get(name).into_iter().flatten() {
            other(&mut out, style, &entry.member, &style.place(place))?;
        }
        Ok(true)
    })?;
    out.into_inner().map(drop).map_err(ContextError::Write)
}

/// Writes a whole archive of another sandbox's path: a directory's content, or the one file of it.
/// It is uncompressed, however its first name begins.
///
/// # Errors
/// The source cannot be read, or the sink not be written.
pub fn written(source: impl Read, style: &Style, sink: impl Write) -> Result<(), ContextError> {
    let mut out = begin(style, sink)?;
    for_each(source, |name, mut entry| {
        let place = style.place(name);
        match entry.member.kind {
            EntryKind::File => file(&mut out, style, &mut entry, &[place])?,
            EntryKind::Hardlink => {
                let target = name_of(&entry.member.link)?.unwrap_or_default();
                let mut header = style.dress(Said::of(&entry.member), EntryType::Link);
                out.append_link(&mut header, &place, style.place(&target))
                    .map_err(ContextError::Write)?;
            }
            _ => other(&mut out, style, &entry.member, &place)?,
        }
        Ok(true)
    })?;
    out.into_inner().map(drop).map_err(ContextError::Write)
}

/// Writes the decompressed bytes of an archive that stands in a context as a file.
///
/// # Errors
/// It is not there, too large, or of a kind that is not read.
pub fn unpacked(source: impl Read, name: &str, mut sink: impl Write) -> Result<(), ContextError> {
    let mut found = false;
    for_each(plain(source)?, |entry_name, entry| {
        if entry_name != name || !entry.is_file() {
            return Ok(true);
        }
        found = true;
        let plain = decompressed(entry.content);
        let plain = plain.map_err(|error| ContextError::refused(format!("{name}: {error}")))?;
        let mut plain = plain.take(CONTEXT_MAX_BYTES + 1);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut copied = 0;
        loop {
            let read = match plain.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Its compression is broken: the sink did nothing wrong.
                Err(error) => return Err(ContextError::refused(format!("{name}: {error}"))),
            };
            sink.write_all(&buffer[..read])
                .map_err(ContextError::Write)?;
            copied += read as u64;
        }
        if copied > CONTEXT_MAX_BYTES {
            return Err(ContextError::refused(format!(
                "{name} has more than {CONTEXT_MAX_BYTES} bytes"
            )));
        }
        sink.flush().map(|()| false).map_err(ContextError::Write)
    })?;
    match found {
        true => Ok(()),
        false => Err(ContextError::refused(format!(
            "the context holds no {name:?}"
        ))),
    }
}

/// A context's own compression is taken away; what a guest writes has none.
fn plain<'r>(context: impl Read + 'r) -> Result<Box<dyn Read + 'r>, ContextError> {
    decompressed(context).map_err(|error| ContextError::refused(error.to_string()))
}

/// The first place gets the content, the others are names of the same file.
fn file(
    out: &mut Builder<impl Write>,
    style: &Style,
    entry: &mut Entry<'_>,
    places: &[String],
) -> Result<(), ContextError> {
    let Some((first, more)) = places.split_first() else {
        return Ok(());
    };
    let said = Said::of(&entry.member);
    let mut header = style.dress(said, EntryType::Regular);
    header.set_size(entry.member.size);
    out.append_data(&mut header, first, &mut entry.content)
        .map_err(ContextError::Write)?;
    for place in more {
        let mut header = style.dress(said, EntryType::Link);
        out.append_link(&mut header, place, first)
            .map_err(ContextError::Write)?;
    }
    Ok(())
}

fn other(
    out: &mut Builder<impl Write>,
    style: &Style,
    member: &Member,
    place: &str,
) -> Result<(), ContextError> {
    let said = Said::of(member);
    match member.kind {
        EntryKind::Directory => {
            let mut header = style.dress(said, EntryType::Directory);
            let made = out.append_data(&mut header, format!("{place}/"), io::empty());
            made.map_err(ContextError::Write)
        }
        EntryKind::Symlink => {
            let target = String::from_utf8_lossy(&member.link).into_owned();
            let mut header = style.dress(said, EntryType::Symlink);
            header.set_mode(0o777);
            let made = out.append_link(&mut header, place, target);
            made.map_err(ContextError::Write)
        }
        _ => Ok(()),
    }
}
