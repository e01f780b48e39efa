//! What is done inside a sandbox before it counts as set up: an account, files, contents of objects,
//! commands. Done by the server, in this order, once; some commands again at each start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::Program;
use crate::error::{Error, Result};
use crate::id::{CommandId, ObjectId};
use crate::limits;
use crate::sandbox::{validate_env, validate_path};
use crate::secret::validate_secret_name;

/// What is left to do. Empty for most sandboxes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// Made where the image has nobody of that name.
    pub account: Option<Account>,
    pub files: Vec<SetupFile>,
    pub objects: Vec<SetupObject>,
    /// Run one after the other, by the sandbox's default user, once.
    pub once: Vec<Program>,
    /// What commands of `once` have in their environment and nobody else sees, by their place; sealed,
    /// and forgotten when all was done. Set by the server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<usize, String>,
    /// Run at each start, after all the rest. Processes of an earlier life are not there any more.
    pub each_start: Vec<Program>,
    /// Nothing of this life's has been left out. Set by the server.
    pub done: bool,
    /// Starts behind the first one. Set by the server.
    pub lives: u32,
    /// Its newest command in this life: what comes before that is done. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reached>,
}

/// A command of a setup, recorded before it starts: whoever finds it here starts no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Among those that are run once and, behind them, those of each start.
    pub place: usize,
    pub command: CommandId,
}

/// Somebody in the sandbox's /etc/passwd, with a group of the same name and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub home: String,
}

/// A small file. A relative path begins at the sandbox's working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupFile {
    pub path: String,
    pub content: String,
}

/// The content of an object: an archive (told by its content type) is unpacked below the path,
/// anything else is a file there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupObject {
    pub object: ObjectId,
    pub path: String,
}

/// The command that a sandbox is there for. Begun when the sandbox is set up, in each life; when it ends, so
/// does the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Main {
    pub program: Program,
    /// The command of this life, drawn before it starts: whoever finds it here starts no other. Set by the server.
    #[serde(default)]
    pub command: Option<CommandId>,
}

impl Main {
    #[must_use]
    pub const fn new(program: Program) -> Self {
        Self {
            program,
            command: None,
        }
    }
}

impl Setup {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is left to do in this life.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.done && !self.is_empty()
    }

    /// All was done: what is kept is what the next start needs.
    pub fn finish(&mut self) {
        *self = Self {
            each_start: std::mem::take(&mut self.each_start),
            ..self.over()
        };
    }

    /// Nothing is done any more, in no life.
    pub fn end(&mut self) {
        if !self.is_empty() {
            *self = self.over();
        }
    }

    /// Whatever was to be done, and it was to be done with, is forgotten, sealed or not.
    fn over(&self) -> Self {
        Self {
            done: true,
            lives: self.lives,
            ..Self::default()
        }
    }

    /// A new life begins.
    pub fn begin_again(&mut self) {
        if self.is_empty() {
            return;
        }
        self.lives += 1;
        self.reached = None;
        self.done &= self.each_start.is_empty();
    }

    pub fn validate(&self) -> Result<()> {
        const FIELD: &str = "setup";
        if let Some(account) = &self.account {
            account.validate()?;
        }
        let parts = [self.files.len(), self.objects.len()];
        let commands = [self.once.len(), self.each_start.len()];
        if parts
            .into_iter()
            .chain(commands)
            .any(|n| n > limits::SETUP_STEPS_MAX)
        {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "a setup has at most {} steps of a kind",
                    limits::SETUP_STEPS_MAX
                ),
            ));
        }
        let paths = self.files.iter().map(|file| &file.path);
        for path in paths.chain(self.objects.iter().map(|object| &object.path)) {
            if path.is_empty() || path.contains('\0') || path.len() > limits::PATH_MAX_BYTES {
                return Err(Error::invalid(
                    FIELD,
                    "a path has 1 to 4095 bytes and no NUL",
                ));
            }
        }
        let bytes: usize = self.files.iter().map(|file| file.content.len()).sum();
        if bytes > limits::SETUP_FILES_MAX_BYTES {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "its files are {bytes} bytes, at most {} fit; put larger ones into objects",
                    limits::SETUP_FILES_MAX_BYTES
                ),
            ));
        }
        let programs = self.once.iter().chain(&self.each_start).cloned();
        programs
            .map(crate::CommandSpec::new)
            .try_for_each(|spec| spec.validate())
    }
}

impl Account {
    /// A sound one stands for nothing else in a file of accounts, or in a line for a shell: of its home only
    /// that it is a path is known.
    pub fn validate(&self) -> Result<()> {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        let first = self.name.bytes().next();
        let named = first.is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && self.name.len() <= 32
            && self.name.bytes().all(sound);
        if !named || self.uid >= 65_534 {
            return Err(Error::invalid(
                "account",
                "an account has a name of 1 to 32 lower-case letters, digits, '_' and '-', and a \
                 number below 65534",
            ));
        }
        validate_path("account", &self.home)?;
        if self.home.contains([':', '\n']) {
            return Err(Error::invalid(
                "account",
                "a home holds no ':' and no line break",
            ));
        }
        Ok(())
    }
}

/// Environment variables and the names of the secrets whose values they get.
pub fn validate_secret_names(secrets: &BTreeMap<String, String>) -> Result<()> {
    validate_env(secrets)?;
    secrets
        .values()
        .try_for_each(|name| validate_secret_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Program {
        Program::Shell(line.to_owned())
    }

    #[test]
    fn what_was_done_is_not_done_again_but_for_commands_of_each_start() {
        let mut setup = Setup {
            once: vec![shell("once")],
            sealed: BTreeMap::from([(0, "sealed".to_owned())]),
            each_start: vec![shell("again")],
            ..Setup::default()
        };
        assert!(setup.is_pending());
        setup.finish();
        assert!(!setup.is_pending() && setup.once.is_empty());
        setup.begin_again();
        assert!(setup.is_pending());
        assert_eq!(setup.each_start, [shell("again")]);
        assert!(setup.sealed.is_empty(), "nothing sealed outlives it");
        setup.end();
        setup.begin_again();
        assert!(!setup.is_pending() && setup.each_start.is_empty());
        let mut nothing = Setup::default();
        nothing.begin_again();
        nothing.end();
        assert!(nothing.is_empty());
        assert!(!nothing.is_pending());
    }

    #[test]
    fn accounts_that_would_spoil_the_file_are_refused() {
        let account = |name: &str, uid, home: &str| Setup {
            account: Some(Account {
                name: name.to_owned(),
                uid,
                home: home.to_owned(),
            }),
            ..Setup::default()
        };
        assert!(account("user", 1000, "/home/user").validate().is_ok());
        for bad in [
            account("", 1, "/h"),
            account("a:b", 1, "/h"),
            account("Root", 1, "/h"),
            account("a\nb", 1, "/h"),
            account("a", 65_534, "/h"),
            account("a", 1, "h"),
            account("a", 1, "/h:x"),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
