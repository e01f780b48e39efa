//! What stands behind the opening fence of a block: its language, then attributes.

use std::time::Duration;

use pinfold_model::{Error, Result};

use super::seconds;

const LANGUAGE: &str = "bash";

/// The attributes of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) name: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) continue_on_error: bool,
}

impl Info {
    /// `None` where the block is no step. `number` names the step in errors.
    pub(super) fn parse(text: &str, number: usize) -> Result<Option<Self>> {
        let mut words = words(text).into_iter();
        if words.next().as_deref() != Some(LANGUAGE) {
            return Ok(None);
        }
        let mut info = Self::default();
        for word in words {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (&*word, None),
            };
            match (key, value) {
                ("name", Some(value)) => info.name = Some(value.to_owned()),
                ("timeout", Some(value)) => info.timeout = Some(timeout(value, number)?),
                ("continue-on-error", None | Some("true")) => info.continue_on_error = true,
                ("continue-on-error", Some("false")) => info.continue_on_error = false,
                _ => {}
            }
        }
        Ok(Some(info))
    }
}

fn timeout(value: &str, number: usize) -> Result<Duration> {
    seconds(value).ok_or_else(|| {
        Error::invalid(
            "timeout",
            format!("timeout of step {number} must be a number of seconds, not {value:?}"),
        )
    })
}

/// Words between white space; quotes keep white space in a word and are no part of it.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c.is_whitespace() => words.extend(word.take()),
            // A quote only opens behind `=`: an apostrophe in a word is one.
            None if matches!(c, '"' | '\'') && word.as_ref().is_some_and(|w| w.ends_with('=')) => {
                quote = Some(c);
            }
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_is_quoted() {
        assert_eq!(
            words(" bash name=\"a b\" x='c d' it's  e="),
            ["bash", "name=a b", "x=c d", "it's", "e="]
        );
        assert_eq!(words("bash name=\"open end"), ["bash", "name=open end"]);
    }

    #[test]
    fn other_languages_are_no_steps() {
        for text in ["", "sh", "Bash", "bash,x", "{bash}", "python bash"] {
            assert_eq!(Info::parse(text, 1).expect("no fault"), None, "{text:?}");
        }
    }
}
