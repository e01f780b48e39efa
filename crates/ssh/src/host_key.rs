//! The key by which clients know this installation: made once, kept with the data.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::{self, LineEnding};
use russh::keys::{HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// An ed25519 key, whole.
#[derive(Clone)]
pub struct HostKey(PrivateKey);

/// Why there is no host key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    #[error("{} holds no key of an SSH host", path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: ssh_key::Error,
    },
    #[error("cannot keep the key of the SSH host in {}", path.display())]
    Keep {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl HostKey {
    /// The key in that file, which is made where it is missing (for its owner only) and never
    /// replaced: clients remember it. Only one process may do this at a time.
    ///
    /// # Errors
    /// For a file that cannot be read or written, and for one that holds something else.
    pub fn in_file(path: &Path) -> Result<Self, HostKeyError> {
        let keep = |source| HostKeyError::Keep {
            path: path.to_owned(),
            source,
        };
        let form = |source| HostKeyError::Form {
            path: path.to_owned(),
            source,
        };
        match std::fs::read(path).map(Zeroizing::new) {
            Ok(bytes) => PrivateKey::from_openssh(&*bytes).map(Self).map_err(form),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Self::generate().map_err(form)?;
                let text = made.0.to_openssh(LineEnding::LF).map_err(form)?;
                write(path, text.as_bytes()).map_err(keep)?;
                Ok(made)
            }
            Err(error) => Err(keep(error)),
        }
    }

    fn generate() -> Result<Self, ssh_key::Error> {
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
        PrivateKey::new(pair, "pinfold").map(Self)
    }

    /// Algorithm and base64, as in `known_hosts`.
    ///
    /// # Panics
    /// Never: every key has such a form.
    #[must_use]
    pub fn public_key(&self) -> String {
        let bare = PublicKey::from(self.0.public_key().key_data().clone());
        bare.to_openssh().expect("a public key has a text form")
    }

    /// As `ssh` shows it to who connects first.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(crate) fn private(&self) -> PrivateKey {
        self.0.clone()
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostKey").field(&self.fingerprint()).finish()
    }
}

/// Whole or not at all, also where the power goes meanwhile.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_host_key_is_made_once_and_is_its_owners() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("ssh_host_key");
        let first = HostKey::in_file(&path).expect("made");
        let again = HostKey::in_file(&path).expect("read");
        assert_eq!(first.public_key(), again.public_key());
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert!(first.public_key().starts_with("ssh-ed25519 AAAA"));
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        let files = std::fs::read_dir(temp.path()).expect("list").count();
        assert_eq!(files, 1, "nothing else is left");
        let text = std::fs::read_to_string(&path).expect("read");
        let secret = text.lines().nth(1).expect("base64");
        assert!(!format!("{first:?}").contains(secret));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("ssh_host_key");
        for damaged in ["", "x", "-----BEGIN OPENSSH PRIVATE KEY-----\n"] {
            std::fs::write(&path, damaged).expect("write");
            let error = HostKey::in_file(&path).expect_err("no key");
            assert!(error.to_string().contains("ssh_host_key"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), damaged);
        }
    }
}
