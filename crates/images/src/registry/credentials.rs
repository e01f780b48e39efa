//! How a caller proves to a registry who it is. Secrets never appear in `Debug` output.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::reference::Reference;

/// Bytes of a file of credentials.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Characters of one user name, password or token.
const SECRET_MAX_CHARS: usize = 64 << 10;

/// What is shown to a registry.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum Credentials {
    #[default]
    Anonymous,
    Basic {
        username: String,
        password: String,
    },
    /// A token that the registry itself takes.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
        })
    }
}

impl Credentials {
    /// Whether they can be sent in a header at all.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= SECRET_MAX_CHARS
                && !text.chars().any(char::is_control)
        };
        match self {
            Self::Anonymous => true,
            Self::Basic { username, password } => {
                plain(username) && plain(password) && !username.contains(':')
            }
            Self::Bearer(token) => plain(token) && token.is_ascii(),
        }
    }
}

/// Credentials by registry, from a file such as docker's `config.json`.
#[derive(Clone, Default)]
pub struct CredentialFile {
    by_registry: HashMap<String, Kept>,
}

/// What a file has for one registry.
#[derive(Clone)]
enum Kept {
    Usable(Credentials),
    /// Found out when that registry is asked: the others' entries are as good as before.
    Unusable,
}

impl fmt::Debug for CredentialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_registry.keys()).finish()
    }
}

/// A file of credentials that cannot be used. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFileError {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is no JSON object with \"auths\" by registry (line {line})")]
    Malformed { line: usize },
    #[error(
        "its entry for {registry:?} is not supported: give \"auth\" (base64 of USER:PASSWORD), \
         \"username\" and \"password\", or \"registrytoken\""
    )]
    Entry { registry: String },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    registrytoken: Option<String>,
    identitytoken: Option<String>,
}

impl Entry {
    fn is_empty(&self) -> bool {
        [
            &self.auth,
            &self.username,
            &self.password,
            &self.registrytoken,
            &self.identitytoken,
        ]
        .iter()
        .all(|field| field.as_deref().is_none_or(str::is_empty))
    }
}

impl CredentialFile {
    /// Reads a file in the format of docker's `config.json`; what it says beside `auths` (helper
    /// programs, for instance) is not heeded. An entry that cannot be used is an error only for
    /// whoever asks that registry ([`Self::for_registry_of`]).
    ///
    /// # Errors
    /// See [`CredentialFileError`].
    pub fn read(path: &Path) -> Result<Self, CredentialFileError> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(CredentialFileError::Read)?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(CredentialFileError::TooLarge);
        }
        Self::parse(&bytes)
    }

    /// # Errors
    /// See [`CredentialFileError`].
    pub fn parse(json: &[u8]) -> Result<Self, CredentialFileError> {
        // The parser's own words could repeat a secret.
        let file: File = serde_json::from_slice(json)
            .map_err(|error| CredentialFileError::Malformed { line: error.line() })?;
        let mut by_registry = HashMap::new();
        for (registry, entry) in file.auths {
            let entry = serde_json::from_value::<Entry>(entry).ok();
            // What a helper program keeps stands here as an empty entry.
            if entry.as_ref().is_some_and(Entry::is_empty) {
                continue;
            }
            let read = entry.and_then(credentials);
            let kept = match read.filter(Credentials::is_well_formed) {
                Some(credentials) => Kept::Usable(credentials),
                None => Kept::Unusable,
            };
            // Several keys may mean one host: the first that can be used.
            let host = host_of(&registry);
            if !matches!(by_registry.get(host), Some(Kept::Usable(_))) {
                by_registry.insert(host.to_owned(), kept);
            }
        }
        Ok(Self { by_registry })
    }

    /// What to show to the reference's registry; nothing where the file does not list it.
    ///
    /// # Errors
    /// [`CredentialFileError::Entry`] where the registry is listed with what cannot be used: to ask
    /// it as everybody would only hide that.
    pub fn for_registry_of(
        &self,
        reference: &Reference,
    ) -> Result<Credentials, CredentialFileError> {
        match self.entry(reference) {
            None => Ok(Credentials::Anonymous),
            Some(Kept::Usable(credentials)) => Ok(credentials.clone()),
            Some(Kept::Unusable) => Err(CredentialFileError::Entry {
                registry: reference.registry().to_owned(),
            }),
        }
    }

    /// Whether the file has an entry for the reference's registry, usable or not.
    #[must_use]
    pub fn lists(&self, reference: &Reference) -> bool {
        self.entry(reference).is_some()
    }

    fn entry(&self, reference: &Reference) -> Option<&Kept> {
        [reference.registry(), reference.registry_name()]
            .into_iter()
            .find_map(|registry| self.by_registry.get(registry))
    }
}

/// Old clients wrote whole addresses: `https://HOST/v1/`.
fn host_of(registry: &str) -> &str {
    let bare = registry
        .strip_prefix("https://")
        .or_else(|| registry.strip_prefix("http://"))
        .unwrap_or(registry);
    bare.split('/').next().unwrap_or(bare)
}

fn credentials(entry: Entry) -> Option<Credentials> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = filled(entry.registrytoken) {
        return Some(Credentials::Bearer(token));
    }
    if let Some(auth) = filled(entry.auth) {
        let decoded = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        return Some(Credentials::Basic {
            username: username.to_owned(),
            // Some clients end the password with a NUL.
            password: password.trim_end_matches('\0').to_owned(),
        });
    }
    Some(Credentials::Basic {
        username: filled(entry.username)?,
        password: filled(entry.password)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn entries_of_every_form_are_found_by_registry() {
        let json = format!(
            r#"{{"auths":{{"reg.example:5000":{{"auth":"{}"}},
                "https://old.example/v1/":{{"username":"u","password":"p"}},
                "token.example":{{"registrytoken":"t0k"}},"kept.elsewhere":{{}}}},"credsStore":"x"}}"#,
            STANDARD.encode("ann:a:b")
        );
        let file = CredentialFile::parse(json.as_bytes()).expect("valid");
        let find = |text: &str| {
            let found = file.for_registry_of(&text.parse().expect(text));
            found.expect("usable")
        };
        assert_eq!(find("reg.example:5000/a"), basic("ann", "a:b"));
        assert_eq!(find("old.example/a"), basic("u", "p"));
        assert_eq!(find("token.example/a"), Credentials::Bearer("t0k".into()));
        assert_eq!(find("other.example/a"), Credentials::Anonymous);
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for json in [r#"{"auths":"secret"}"#, "secret"] {
            let error = CredentialFile::parse(json.as_bytes()).expect_err("refused");
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn an_entry_that_cannot_be_used_fails_for_its_own_registry_only() {
        let broken: Reference = "reg.example/a".parse().expect("a reference");
        let good: Reference = "good.example/a".parse().expect("a reference");
        for entry in [
            r#"{"auth":"!secret!"}"#,
            r#"{"identitytoken":"secret"}"#,
            r#"{"username":"secret\n","password":"x"}"#,
            r#"{"auth":["secret"]}"#,
            r#""secret""#,
        ] {
            let json = format!(
                r#"{{"auths":{{"reg.example":{entry},"good.example":{{"registrytoken":"t"}}}}}}"#
            );
            let file = CredentialFile::parse(json.as_bytes()).expect("the others are usable");
            let found = file.for_registry_of(&good).expect("usable");
            assert_eq!(found, Credentials::Bearer("t".into()), "{entry}");
            assert!(file.lists(&broken), "{entry}");
            let error = file.for_registry_of(&broken).expect_err(entry);
            let shown = format!("{error} {error:?} {file:?}");
            assert!(shown.contains("reg.example"), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?} {:?}",
            basic("u", "hidden"),
            Credentials::Bearer("hidden".into())
        );
        assert!(!shown.contains("hidden"));
    }
}
