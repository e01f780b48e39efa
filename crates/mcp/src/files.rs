//! Files of sandboxes as tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinfold_sdk::{Client, FileEntry, FileKind, Upload, WriteOptions};
use rmcp::model::ContentBlock;
use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

use crate::answer::{Answer, Failure, Told};
use crate::arguments as args;
use crate::output::{TEXT_MAX_BYTES, boundary};

/// Of one answer; the same whether it is text or not.
const READ_MAX_BYTES: u64 = TEXT_MAX_BYTES as u64;
/// A picture is of no use in parts.
const IMAGE_MAX_BYTES: u64 = 4 << 20;
/// Of one call. Below the bound of a message, also as base64.
const WRITE_MAX_BYTES: usize = 2 << 20;
/// Entries of one listing.
const ENTRIES_MAX: u32 = 1000;
/// Enough to tell what kind of picture a file is.
const MAGIC_BYTES: u64 = 16;

/// A file, or a part of one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadFacts {
    path: String,
    /// Of the whole file.
    size_bytes: u64,
    /// The first byte that is here, and the one behind the last.
    offset: u64,
    end: u64,
    encoding: args::Encoding,
    /// Empty for a picture: that is in the answer as an image.
    content: String,
    /// For pictures, such as image/png.
    media_type: Option<String>,
}

/// What is at a path.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EntryFacts {
    name: String,
    path: String,
    /// file, directory, symlink or other
    kind: String,
    size_bytes: u64,
    /// Permission bits in octal.
    mode: String,
    modified_at: String,
    /// Where a symlink points.
    target: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DirectoryFacts {
    /// In order of name.
    entries: Vec<EntryFacts>,
    /// The directory holds more than is here.
    truncated: bool,
}

pub(crate) async fn read(client: &Client, wanted: args::ReadFile) -> Answer {
    let length = wanted.length.unwrap_or(READ_MAX_BYTES);
    if !(1..=READ_MAX_BYTES).contains(&length) {
        let text = format!("length must be from 1 to {READ_MAX_BYTES}; read on with offset");
        return Err(Failure::invalid(text));
    }
    let whole = wanted.offset.is_none() && wanted.length.is_none();
    let mut part = Part::read(client, &wanted, wanted.offset.unwrap_or(0), length).await?;
    if whole
        && part.size <= IMAGE_MAX_BYTES
        && let Some(media_type) = picture(&part.bytes)
    {
        if part.end() < part.size {
            part = Part::read(client, &wanted, 0, IMAGE_MAX_BYTES).await?;
        }
        return Ok(shown(wanted.path, &part, media_type));
    }
    Ok(part.told(wanted.path))
}

/// Bytes of a file, and how many it has.
struct Part {
    bytes: Vec<u8>,
    offset: u64,
    size: u64,
}

impl Part {
    async fn read(
        client: &Client,
        wanted: &args::ReadFile,
        offset: u64,
        length: u64,
    ) -> Result<Self, Failure> {
        let files = client.files(&wanted.sandbox_id);
        let empty = |size| Self {
            bytes: Vec::new(),
            offset,
            size,
        };
        let body = match files.read_range(&wanted.path, offset, length).await {
            Ok(body) => body,
            // An empty file has no range, and neither has a place behind the end.
            Err(error) if error.code() == Some(pinfold_sdk::ErrorCode::RangeNotSatisfiable) => {
                return Ok(empty(files.stat(&wanted.path).await?.size_bytes));
            }
            Err(error) => return Err(error.into()),
        };
        let size = body.whole_bytes();
        let bytes = body.collect().await?;
        let end = offset + bytes.len() as u64;
        Ok(Self {
            bytes,
            offset,
            size: size.unwrap_or(end),
        })
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// As text where it is some, save for a character that its end cuts.
    fn told(mut self, path: String) -> Told {
        let whole = match self.end() < self.size {
            // A part of one character is bytes, not nothing.
            true => match boundary(&self.bytes, self.bytes.len()) {
                0 => self.bytes.len(),
                whole => whole,
            },
            false => self.bytes.len(),
        };
        let (encoding, content) = match std::str::from_utf8(&self.bytes[..whole]) {
            Ok(text) => (args::Encoding::Text, text.to_owned()),
            Err(_) => (args::Encoding::Base64, STANDARD.encode(&self.bytes)),
        };
        if encoding == args::Encoding::Text {
            self.bytes.truncate(whole);
        }
        let mut text = content.clone();
        let (offset, end, size) = (self.offset, self.end(), self.size);
        if encoding == args::Encoding::Base64 {
            text.push_str("\n[base64, since these bytes are no text]");
        }
        if self.bytes.is_empty() {
            text.push_str(&format!(
                "[nothing from byte {offset} on: the file has {size} bytes]"
            ));
        } else if end < size {
            text.push_str(&format!(
                "\n[bytes {offset} to {end} of {size}; read on with offset {end}]"
            ));
        }
        let facts = ReadFacts {
            path,
            size_bytes: size,
            offset,
            end,
            encoding,
            content,
            media_type: None,
        };
        Told::new(text, &facts)
    }
}

fn shown(path: String, part: &Part, media_type: &str) -> Told {
    let facts = ReadFacts {
        size_bytes: part.size,
        offset: part.offset,
        end: part.end(),
        encoding: args::Encoding::Base64,
        content: String::new(),
        media_type: Some(media_type.to_owned()),
        path,
    };
    let text = format!("{media_type}, {} bytes", part.size);
    let mut told = Told::new(text, &facts);
    let data = STANDARD.encode(&part.bytes);
    told.content.push(ContentBlock::image(data, media_type));
    told
}

/// What kind of picture that models can see begins like this.
fn picture(bytes: &[u8]) -> Option<&'static str> {
    let magic = bytes.get(..usize::try_from(MAGIC_BYTES).unwrap_or(usize::MAX))?;
    match magic {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

pub(crate) async fn write(client: &Client, wanted: args::WriteFile) -> Answer {
    let bytes = match wanted.encoding.unwrap_or(args::Encoding::Text) {
        args::Encoding::Text => wanted.content.into_bytes(),
        args::Encoding::Base64 => STANDARD
            .decode(&wanted.content)
            .map_err(|error| Failure::invalid(format!("content is no base64: {error}")))?,
    };
    if bytes.len() > WRITE_MAX_BYTES {
        return Err(Failure::new(
            "body_too_large",
            format!(
                "content has {} bytes and may have {WRITE_MAX_BYTES}: write it in parts and join \
                 them with run_command, or make the file inside the sandbox",
                bytes.len()
            ),
        ));
    }
    let options = WriteOptions {
        mode: wanted.executable.map(|yes| if yes { 0o755 } else { 0o644 }),
        parents: true,
    };
    let files = client.files(&wanted.sandbox_id);
    let entry = files
        .write(&wanted.path, Upload::bytes(bytes), &options)
        .await?;
    let text = format!("{} holds {} bytes", entry.path, entry.size_bytes);
    Ok(Told::new(text, &EntryFacts::from(entry)))
}

pub(crate) async fn list(client: &Client, wanted: args::ListDirectory) -> Answer {
    let path = wanted.path.as_deref().unwrap_or(".");
    let files = client.files(&wanted.sandbox_id);
    let list = files.list(path, Some(ENTRIES_MAX)).await?;
    let mut lines: Vec<String> = list.entries.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("[the directory is empty]".to_owned());
    }
    if list.truncated {
        lines.push(format!(
            "[only the first {ENTRIES_MAX} entries are shown; use run_command with ls for more]"
        ));
    }
    let facts = DirectoryFacts {
        entries: list.entries.into_iter().map(EntryFacts::from).collect(),
        truncated: list.truncated,
    };
    Ok(Told::new(lines.join("\n"), &facts))
}

fn line(entry: &FileEntry) -> String {
    let name = match (&entry.target, entry.kind) {
        (Some(target), _) => format!("{} -> {target}", entry.name),
        (None, FileKind::Directory) => format!("{}/", entry.name),
        (None, _) => entry.name.clone(),
    };
    format!("{}  {:>10}  {name}", entry.mode, entry.size_bytes)
}

impl From<FileEntry> for EntryFacts {
    fn from(entry: FileEntry) -> Self {
        Self {
            name: entry.name,
            path: entry.path,
            kind: entry.kind.to_string(),
            size_bytes: entry.size_bytes,
            mode: entry.mode,
            modified_at: entry.modified_at,
            target: entry.target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_cuts_a_character_ends_before_it() {
        let part = Part {
            bytes: b"gr\xC3".to_vec(),
            offset: 4,
            size: 100,
        };
        let told = part.told("/x".to_owned());
        assert_eq!(told.facts["content"], "gr");
        assert_eq!(told.facts["end"], 6);
        assert_eq!(told.facts["encoding"], "text");
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let part = Part {
            bytes: vec![0xFF, 0, 1],
            offset: 0,
            size: 3,
        };
        let told = part.told("/x".to_owned());
        assert_eq!(told.facts["content"], "/wAB");
        assert_eq!(told.facts["encoding"], "base64");
    }

    #[test]
    fn pictures_are_known_by_their_first_bytes() {
        assert_eq!(picture(b"\x89PNG\r\n\x1a\n0000000000"), Some("image/png"));
        assert_eq!(picture(b"RIFF0000WEBPVP8 000"), Some("image/webp"));
        assert_eq!(picture(b"\x89PNG"), None);
        assert_eq!(picture(b"plain text, nothing else"), None);
    }
}
