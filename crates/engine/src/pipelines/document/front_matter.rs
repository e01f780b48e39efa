//! The front matter of a document: `key: value` lines between two lines `---` at its very beginning.

use std::time::Duration;

use pinfold_model::{Error, Result};

use super::seconds;

/// The keys that mean something; what else stands there is for others.
#[derive(Debug, Default)]
pub(super) struct FrontMatter {
    pub(super) image: Option<String>,
    pub(super) vcpu: Option<u32>,
    pub(super) memory_mib: Option<u32>,
    pub(super) timeout: Option<Duration>,
}

const MARK: &str = "---";

impl FrontMatter {
    /// The front matter and what follows it. A document whose first line is no mark, or that has no
    /// second one, has none.
    pub(super) fn split(markdown: &str) -> Result<(Self, &str)> {
        let none = Ok((Self::default(), markdown));
        let mut rest = markdown;
        if take_line(&mut rest).is_none_or(|line| line.trim_end() != MARK) {
            return none;
        }
        let mut lines = Vec::new();
        while let Some(line) = take_line(&mut rest) {
            if line.trim_end() == MARK {
                return Ok((Self::read(&lines)?, rest));
            }
            lines.push(line);
        }
        none
    }

    fn read(lines: &[&str]) -> Result<Self> {
        let mut front = Self::default();
        let mut memory = None;
        for (at, line) in lines.iter().enumerate() {
            let text = line.trim_end();
            // What is indented or a list item belongs to a key of others above it.
            if text.trim().is_empty() || text.starts_with(['#', ' ', '\t', '-']) {
                continue;
            }
            let Some((key, value)) = text.split_once(':') else {
                return Err(Error::invalid(
                    "markdown",
                    format!(
                        "line {} of the document: front matter is `key: value` lines",
                        at + 2
                    ),
                ));
            };
            let Some(value) = plain(value) else {
                continue;
            };
            match key.trim() {
                "image" => front.image = Some(value),
                "vcpu" => front.vcpu = Some(number("vcpu", &value)?),
                "memory_mib" => front.memory_mib = Some(number("memory_mib", &value)?),
                "memory" => memory = Some(number("memory", &value)?),
                "timeout" => front.timeout = Some(timeout(&value)?),
                _ => {}
            }
        }
        front.memory_mib = front.memory_mib.or(memory);
        Ok(front)
    }
}

/// The next line without its end.
fn take_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

/// A value without its quotes and comment; `None` where nothing is given.
fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = text
            .strip_prefix(quote)
            .and_then(|rest| rest.split_once(quote))
        {
            return Some(inside.to_owned());
        }
    }
    let comment = text
        .char_indices()
        .find(|(at, c)| *c == '#' && (*at == 0 || text[..*at].ends_with([' ', '\t'])));
    let text = comment.map_or(text, |(at, _)| &text[..at]).trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(key: &'static str, value: &str) -> Result<u32> {
    value.parse().map_err(|_| {
        Error::invalid(
            key,
            format!("{key} in the front matter must be a whole number, not {value:?}"),
        )
    })
}

fn timeout(value: &str) -> Result<Duration> {
    seconds(value).ok_or_else(|| {
        Error::invalid(
            "timeout",
            format!("timeout in the front matter must be a number of seconds, not {value:?}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_quotes_and_comments() {
        for (text, value) in [
            (" a", Some("a")),
            (" \"a # b\" # c", Some("a # b")),
            (" 'it: s'", Some("it: s")),
            (" a#b # c", Some("a#b")),
            (" # c", None),
            ("", None),
            (" \"\"", Some("")),
        ] {
            assert_eq!(plain(text).as_deref(), value, "{text:?}");
        }
    }

    #[test]
    fn a_mark_alone_is_a_break_and_faults_are_named() {
        let (front, rest) = FrontMatter::split("---\ntext\n").expect("a break");
        assert!(front.image.is_none());
        assert_eq!(rest, "---\ntext\n");
        for bad in [
            "vcpu: x",
            "vcpu: 1.5",
            "timeout: soon",
            "image python",
            "memory: -1",
        ] {
            let text = format!("---\n{bad}\n---\n");
            assert!(FrontMatter::split(&text).is_err(), "{bad}");
        }
        let (front, _) = FrontMatter::split("---\r\ntags:\r\n  - a\r\n- b\r\nvcpu: 3\r\n---\r\n")
            .expect("lists of others");
        assert_eq!(front.vcpu, Some(3));
    }
}
