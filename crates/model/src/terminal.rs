//! Terminals that have a name, by which their sandbox's users find them again.

use std::str::FromStr;

use crate::error::{Error, Result};

const NAME_MAX_CHARS: usize = 256;

/// The name of a terminal: 1 to 256 ASCII letters, digits, `-` and `_`, one of a name in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TerminalName(String);

impl TerminalName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TerminalName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=NAME_MAX_CHARS).contains(&text.len()) && text.bytes().all(known) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(
            "name",
            "the name of a terminal is 1 to 256 ASCII letters, digits, - and _",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        let long = "x".repeat(NAME_MAX_CHARS);
        for name in ["a", "A-b_9", &long] {
            assert_eq!(name.parse::<TerminalName>().expect(name).as_str(), name);
        }
        for name in ["", "a b", "a/b", "é", "a\0", "..", &format!("{long}x")] {
            assert!(name.parse::<TerminalName>().is_err(), "{name:?}");
        }
    }
}
