//! Files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinfold_engine::{FileEntry, FileKind, Listing};

use super::time;
use crate::crownest::errors::{Refused, Word};
use crate::crownest::from_wire::{Encoding, WORKSPACE};
use crate::crownest::wire;

/// A file by itself: its path says its name.
pub(in crate::crownest) fn file(entry: &FileEntry) -> wire::FileStat {
    wire::FileStat {
        path: shown_path(&entry.path),
        kind: file_kind(entry.kind),
        size_bytes: entry.size_bytes,
        modified_at: time(entry.modified_at),
        name: None,
    }
}

/// What a directory holds; lists of files have no pages, so all of it or an error.
pub(in crate::crownest) fn directory(listing: &Listing) -> Result<wire::Files, Refused> {
    if listing.truncated {
        return Err(Refused::of(
            Word::FileTooLarge,
            "path",
            format!(
                "the directory holds more than {} entries; list it in a command",
                listing.entries.len()
            ),
        ));
    }
    let entry = |entry: &FileEntry| wire::FileStat {
        name: Some(entry.name.clone()),
        ..file(entry)
    };
    Ok(wire::Files {
        data: listing.entries.iter().map(entry).collect(),
    })
}

/// The vendor knows two kinds; a link that leads nowhere, a pipe or a socket is no directory.
const fn file_kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "directory",
        FileKind::File | FileKind::Symlink | FileKind::Other => "file",
    }
}

pub(in crate::crownest) fn content(
    entry: &FileEntry,
    bytes: Vec<u8>,
    encoding: Encoding,
) -> Result<wire::FileContent, Refused> {
    let size_bytes = bytes.len() as u64;
    let (encoding, content) = match encoding {
        Encoding::Base64 => ("base64", BASE64.encode(bytes)),
        Encoding::Utf8 => match String::from_utf8(bytes) {
            Ok(text) => ("utf8", text),
            Err(_) => {
                return Err(Refused::new(
                    Word::InvalidFileEncoding,
                    "the file is not valid UTF-8; read it with encoding \"base64\"",
                ));
            }
        },
    };
    Ok(wire::FileContent {
        path: shown_path(&entry.path),
        size_bytes,
        encoding,
        content,
    })
}

/// An absolute path without `.`, `..` and doubled slashes, as the vendor shows paths. By its names
/// alone: it is for people to read, and nothing is opened by it.
pub(super) fn shown_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { WORKSPACE };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_detours() {
        for (path, shown) in [
            ("", "/workspace"),
            ("a//b/./c/../d/", "/workspace/a/b/d"),
            ("/workspace/./x", "/workspace/x"),
            ("../../..", "/"),
            ("/tmp", "/tmp"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
    }
}
