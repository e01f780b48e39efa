//! The master key that secrets are sealed under: given by the operator, or made once and kept in a file.

use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::{Zeroize, Zeroizing};

/// A file that holds more is none of ours.
const FILE_MAX_BYTES: u64 = 1024;

/// 256 bits; as text 64 hex digits. Overwritten when it goes; no text form shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of secrets is 64 hex digits, such as `openssl rand -hex 32` prints")]
pub struct InvalidMasterKey;

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecretsKey {
    /// From nowhere: this process keeps and opens no secrets.
    #[default]
    Absent,
    /// This file has it; made when it is missing and nothing has been sealed yet.
    File(PathBuf),
    /// The operator gave it.
    Given(MasterKey),
}

impl MasterKey {
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key in the file, `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, MasterFileError> {
        let failed = |source| MasterFileError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match OpenOptions::new().read(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut text = Zeroizing::new(String::new());
        let read = file.take(FILE_MAX_BYTES).read_to_string(&mut text);
        read.map_err(failed)?;
        let key = text
            .trim()
            .parse()
            .map_err(|source| MasterFileError::Form {
                path: path.to_owned(),
                source,
            })?;
        Ok(Some(key))
    }

    /// Keeps it in a file that is its owner's from the first byte on, whole or not there. Of two who do
    /// this at once one is first, and both have that one's key.
    pub(super) fn keep(self, path: &Path) -> Result<Self, MasterFileError> {
        let failed = |source| MasterFileError::Write {
            path: path.to_owned(),
            source,
        };
        let fresh = path.with_extension(format!("key.{:016x}", rand::random::<u64>()));
        let written = self.write(&fresh);
        // Unlike a rename this replaces nothing.
        let linked = written.and_then(|()| std::fs::hard_link(&fresh, path));
        let removed = std::fs::remove_file(&fresh);
        match linked {
            Ok(()) => {
                removed.map_err(failed)?;
                Ok(self)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let theirs = Self::read(path)?;
                theirs.ok_or_else(|| failed(ErrorKind::NotFound.into()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut line = hex::encode(self.0.as_slice());
        line.push('\n');
        let written = file.write_all(line.as_bytes());
        line.zeroize();
        written?;
        file.sync_all()?;
        // The name has to outlive a loss of power as well: without this key nothing opens.
        match path.parent() {
            Some(directory) => std::fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl FromStr for MasterKey {
    type Err = InvalidMasterKey;
    fn from_str(text: &str) -> Result<Self, InvalidMasterKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, &mut *bytes).map_err(|_| InvalidMasterKey)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Why there is no master key from a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum MasterFileError {
    #[error("cannot read the key of secrets in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} holds no key of secrets", path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: InvalidMasterKey,
    },
    #[error("cannot write the key of secrets to {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_no_text_form() {
        let key = MasterKey::generate();
        let text = hex::encode(key.bytes());
        let shown = format!("{key:?} {:?}", SecretsKey::Given(key.clone()));
        assert!(!shown.contains(&text) && shown.contains("(..)"), "{shown}");
        assert_eq!(text.parse(), Ok(key));
        let short = &text[1..];
        for bad in [
            "",
            "x",
            short,
            &format!("{text}0"),
            &"g".repeat(64),
            &format!(" {short}"),
        ] {
            let error = bad.parse::<MasterKey>().expect_err("no key");
            assert!(!error.to_string().contains(short), "{error}");
        }
    }

    #[test]
    fn a_file_is_its_owners_and_is_never_replaced() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("secrets.key");
        assert_eq!(MasterKey::read(&path).expect("no file"), None);
        let first = MasterKey::generate().keep(&path).expect("kept");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        let second = MasterKey::generate().keep(&path).expect("the first one's");
        assert_eq!(first, second);
        assert_eq!(MasterKey::read(&path).expect("read"), Some(first));
        let files = std::fs::read_dir(temp.path()).expect("list").count();
        assert_eq!(files, 1, "nothing else is left");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("secrets.key");
        for damaged in ["", "\n", "abc", &"0".repeat(63), &"0".repeat(4096)] {
            std::fs::write(&path, damaged).expect("write");
            let error = MasterKey::read(&path).expect_err("no key");
            assert!(error.to_string().contains("secrets.key"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), damaged);
        }
    }
}
