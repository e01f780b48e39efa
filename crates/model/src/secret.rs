//! Secrets: values that are kept sealed, and are shown to nobody.

use std::fmt;

use zeroize::Zeroizing;

use crate::Time;
use crate::error::{Error, Result};
use crate::id::{KeyId, ProjectId, SecretId};
use crate::limits;

/// A secret as it may be shown: never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub id: SecretId,
    pub project: ProjectId,
    /// Unique in its project.
    pub name: String,
    pub created_at: Time,
    /// When it got the value that it has.
    pub updated_at: Time,
    /// The key that made it; `None`: the process itself.
    pub created_by: Option<KeyId>,
}

/// The value of a secret: 1 byte to 32 KiB of text that an environment variable may hold, such as a key of
/// several lines. Whether a header may hold it shows where it goes into one. Overwritten when it goes; no
/// text form shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes the text over without a copy of it.
    ///
    /// # Errors
    /// For a text that is empty or too long, and for one with a NUL. The error says nothing of the text.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > limits::SECRET_VALUE_MAX_BYTES {
            return Err(Error::invalid(
                "value",
                format!(
                    "a secret's value must be from 1 to {} bytes",
                    limits::SECRET_VALUE_MAX_BYTES
                ),
            ));
        }
        if text.contains('\0') {
            return Err(Error::invalid(
                "value",
                "a secret's value must hold no NUL character: no environment variable can",
            ));
        }
        Ok(Self(text))
    }

    /// Whether it is one line without a space at an end: no more than a header or a question for a password
    /// takes.
    #[must_use]
    pub fn is_plain_line(&self) -> bool {
        !self.0.chars().any(char::is_control) && self.0.trim().len() == self.0.len()
    }

    /// The value itself. Every use of it is a place to look at twice.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

/// 1 to 100 ASCII letters, digits and ` . _ - `, with a letter or digit first.
pub fn validate_secret_name(name: &str) -> Result<()> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let good = (1..=limits::NAME_MAX_CHARS).contains(&name.len())
        && name.bytes().all(inside)
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        "a secret's name is 1 to 100 letters, digits, '.', '_' and '-', with a letter or digit first",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_no_text_form_and_in_no_error() {
        let value = SecretValue::new("hunter2".to_owned()).expect("valid");
        assert_eq!(value.expose(), "hunter2");
        assert_eq!(
            format!("{value:?} {value:#?}"),
            "SecretValue(..) SecretValue(..)"
        );
        let error = SecretValue::new("hunter2\0".to_owned()).expect_err("a NUL");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn values_that_no_variable_holds_are_refused_and_those_that_break_a_header_are_told_apart() {
        let longest = "x".repeat(limits::SECRET_VALUE_MAX_BYTES);
        let plain =
            |text: &str| SecretValue::new(text.to_owned()).map(|value| value.is_plain_line());
        for good in ["a", "a b", "sk-1=/+:{}\"", "é", &longest] {
            assert_eq!(plain(good).ok(), Some(true), "{good:?}");
        }
        for odd in [
            " ",
            " a",
            "a ",
            "a\r\nx-evil: 1",
            "-----BEGIN KEY-----\nb\n-----END KEY-----\n",
            "a\tb",
            "a\u{7f}",
            "\u{85}a",
        ] {
            assert_eq!(plain(odd).ok(), Some(false), "{odd:?}");
        }
        let long = format!("{longest}x");
        for bad in ["", "a\0b", &long] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_would_not_stand_in_a_path_are_refused() {
        for good in ["OPENAI_API_KEY", "a", "github.token-2", "7"] {
            assert!(validate_secret_name(good).is_ok(), "{good:?}");
        }
        let long = "x".repeat(101);
        for bad in [
            "", ".", "..", "_a", "-a", "a/b", "a b", "a@b", "é", "a\n", "a\0", "a%2f", "a?b", &long,
        ] {
            assert!(validate_secret_name(bad).is_err(), "{bad:?}");
        }
    }
}
