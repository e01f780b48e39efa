//! What a sandbox's directory remembers of its boot, for the next server.
//!
//! Written before the guest is started where it names what has to be undone, and completed after. It is
//! the target of a symbolic link that leads nowhere: made in one step, so that nobody reads half of it,
//! and short enough for most file systems to keep it in the link itself.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process::Process;

const LINK: &str = "boot";
/// The next one, until it takes the place of the one that is there.
const NEW: &str = "boot.new";
/// The file that it was before it was a link.
const FILE: &str = "boot.json";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    /// `None` without root: such sandboxes have one id.
    pub(super) slot: Option<u32>,
    /// Not set between claiming and having started.
    pub(super) process: Option<Process>,
    pub(super) die_with_host: bool,
    /// The machine may have a link of this slot.
    pub(super) link: bool,
}

/// As it is in the link: what is not there is not so.
#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<u32>,
    #[serde(flatten)]
    process: Option<Process>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    die: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    link: bool,
}

impl Record {
    fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(&Text {
            slot: self.slot,
            process: self.process,
            die: self.die_with_host,
            link: self.link,
        })?)
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let text: Text = serde_json::from_slice(text).ok()?;
        Some(Self {
            slot: text.slot,
            process: text.process,
            die_with_host: text.die,
            link: text.link,
        })
    }

    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let text = self.text()?;
        let link = directory.join(LINK);
        match symlink(&text, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let new = directory.join(NEW);
        match symlink(&text, &new) {
            // Of a server that died before it took its place.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&new)?;
                symlink(&text, &new)?;
            }
            made => made?,
        }
        std::fs::rename(new, link)
    }

    /// `None` where there is no (readable) record: the sandbox never got as far as that.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        match std::fs::read_link(directory.join(LINK)) {
            Ok(target) => return Ok(Self::from_text(target.as_os_str().as_bytes())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match std::fs::read(directory.join(FILE)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_damaged_ones_count_as_absent() {
        let temp = tempfile::tempdir().expect("directory");
        assert_eq!(Record::read(temp.path()).expect("absent"), None);
        let begun = Record {
            slot: Some(3),
            process: None,
            die_with_host: true,
            link: false,
        };
        begun.write(temp.path()).expect("write");
        assert_eq!(
            Record::read(temp.path()).expect("read"),
            Some(begun.clone())
        );
        // A server died between making the next one and putting it in place.
        symlink("{", temp.path().join(NEW)).expect("left over");
        let complete = Record {
            process: Some(Process::of(1).expect("PID 1")),
            ..begun
        };
        complete.write(temp.path()).expect("write again");
        assert_eq!(Record::read(temp.path()).expect("read"), Some(complete));
        std::fs::remove_file(temp.path().join(LINK)).expect("remove");
        symlink("{", temp.path().join(LINK)).expect("damage");
        assert_eq!(Record::read(temp.path()).expect("damaged"), None);
    }

    #[test]
    fn a_record_is_kept_in_the_link_itself() {
        let process = serde_json::json!({"pid": 4_194_304, "since": 9_999_999_999_u64});
        let longest = Record {
            slot: Some(16_383),
            process: Some(serde_json::from_value(process).expect("process")),
            die_with_host: false,
            link: true,
        };
        let text = longest.text().expect("text");
        // What ext4 keeps in an inode of 128 bytes, with the end of the text.
        assert!(text.len() < 60, "{} bytes: {text}", text.len());
        assert_eq!(Record::from_text(text.as_bytes()), Some(longest));
    }

    #[test]
    fn the_file_of_an_earlier_release_is_read() {
        let temp = tempfile::tempdir().expect("directory");
        let text = r#"{"slot":7,"process":{"pid":5,"started":9},"die_with_host":true,"link":true}"#;
        std::fs::write(temp.path().join(FILE), text).expect("write");
        let record = Record::read(temp.path()).expect("read").expect("a record");
        assert_eq!(
            (record.slot, record.die_with_host, record.link),
            (Some(7), true, true)
        );
        assert_eq!(record.process.map(|process| process.pid), Some(5));
    }
}
