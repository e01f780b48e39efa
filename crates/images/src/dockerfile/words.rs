//! Splitting what follows `ENV`, `LABEL` and `ARG` into words. Quotes and escapes stay as they are.

use super::Assignment;

/// Words of a line: blanks part them, save in quotes or behind the escape character.
pub(super) fn split(text: &str, escape: char) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if let Some(open) = quote {
        return Err(format!("the quote {open} is not closed"));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// `A=1 B=2`, or the old `A rest of the line`.
pub(super) fn pairs(text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = split(text, escape)?;
    let first = words.first().ok_or("it needs NAME=VALUE")?;
    if !first.contains('=') {
        let rest = text.trim_start()[first.len()..].trim();
        if rest.is_empty() {
            return Err(format!("{first} needs a value"));
        }
        return Ok(vec![(first.clone(), rest.to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not NAME=VALUE")),
    };
    words.iter().map(pair).collect()
}

/// `A B=2`.
pub(super) fn assignments(text: &str, escape: char) -> Result<Vec<Assignment>, String> {
    let words = split(text, escape)?;
    let one = |word: &String| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match is_name(name) {
            true => Ok((name.to_owned(), value)),
            false => Err(format!("{name:?} is no name of a variable")),
        }
    };
    words.iter().map(one).collect()
}

pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A line of a shell without the breaks of the file it was written in: what follows the escape
/// character at an end of line goes on with it, and comments between are left out.
pub(super) fn joined(text: &str, escape: char) -> String {
    let mut line = String::with_capacity(text.len());
    let mut goes_on = false;
    for part in text.split('\n') {
        let part = part.strip_suffix('\r').unwrap_or(part);
        if goes_on && (part.trim().is_empty() || part.trim_start().starts_with('#')) {
            continue;
        }
        if !line.is_empty() && !goes_on {
            line.push('\n');
        }
        match part.trim_end().strip_suffix(escape) {
            Some(part) => {
                line.push_str(part);
                goes_on = true;
            }
            None => {
                line.push_str(part);
                goes_on = false;
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_quotes_and_escapes() {
        let words = split(r#"A="x y"  B='a b' C=a\ b"#, '\\').expect("well formed");
        assert_eq!(words, [r#"A="x y""#, "B='a b'", r"C=a\ b"]);
        assert!(split("A=\"x", '\\').is_err());
    }

    #[test]
    fn both_forms_of_env_are_read() {
        let old = pairs("PATH  /a:/b c ", '\\').expect("old form");
        assert_eq!(old, [("PATH".to_owned(), "/a:/b c".to_owned())]);
        let new = pairs("A=1 B=", '\\').expect("new form");
        assert_eq!(new[1], ("B".to_owned(), String::new()));
        assert!(pairs("A=1 B", '\\').is_err());
        assert!(pairs("A", '\\').is_err());
    }

    #[test]
    fn lines_go_on_behind_comments() {
        let text = "a \\\n # no\n\n  && b\\\r\nc";
        assert_eq!(joined(text, '\\'), "a   && bc");
    }
}
