//! Here-documents within a command (`RUN cat <<EOF > /file`), which the grammar's library reads only
//! where they stand alone: such a command is wrapped into one that does, word for word. A shell that
//! is given the whole as its script does the same with it.

use pinfold_model::Digest;
use sha2::{Digest as _, Sha256};

use super::DockerfileError;

/// A Dockerfile whose here-documents stand alone, and which of its lines are not the author's.
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Numbers of inserted lines, growing, counted from 1.
    inserted: Vec<usize>,
}

impl Rewritten {
    /// The number of a line in what its author wrote.
    pub(super) fn line(&self, line: usize) -> usize {
        line - self.inserted.partition_point(|inserted| *inserted < line)
    }

    /// Whether a line is not the author's.
    pub(super) fn is_inserted(&self, line: usize) -> bool {
        self.inserted.binary_search(&line).is_ok()
    }
}

pub(super) fn rewrite(text: &str, escape: char) -> Result<Rewritten, DockerfileError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Out {
        text: String::with_capacity(text.len() + 256),
        lines: 0,
        inserted: Vec::new(),
    };
    let mark = unused_word(text);
    let mut at = 0;
    while at < lines.len() {
        let (count, head) = logical_line(lines[at..].iter().copied(), escape);
        let head_end = at + count;
        let found = match instruction(&head) {
            Some(rest) => delimiters(rest),
            None => Vec::new(),
        };
        let end = body_end(&lines, head_end, &found).map_err(|name| {
            DockerfileError::at(at + 1, format!("the here-document {name} is not ended"))
        })?;
        let run = run_parts(&head).filter(|_| !found.is_empty());
        match run {
            Some((options, command)) if !stands_alone(command) => {
                out.insert(&format!("RUN {options}<<'{mark}'"));
                // The head may have been several lines, and is one now: numbers stay right.
                (at + 1..head_end).for_each(|_| out.line(""));
                out.line(command);
                lines[head_end..end].iter().for_each(|line| out.line(line));
                out.insert(&mark);
            }
            _ => lines[at..end].iter().for_each(|line| out.line(line)),
        }
        at = end;
    }
    Ok(Rewritten {
        text: out.text,
        inserted: out.inserted,
    })
}

/// Names of the files that a `COPY` or `ADD` makes of its here-documents.
pub(super) fn names(text: &str, escape: char) -> Vec<String> {
    let (_, head) = logical_line(text.lines(), escape);
    let found = delimiters(&head);
    found.into_iter().map(|delimiter| delimiter.name).collect()
}

struct Out {
    text: String,
    lines: usize,
    inserted: Vec<usize>,
}

impl Out {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
    }

    fn insert(&mut self, line: &str) {
        self.line(line);
        self.inserted.push(self.lines);
    }
}

struct Delimiter {
    name: String,
    strips_tabs: bool,
}

/// The line that comes first with all that it goes on with, and how many lines that are.
fn logical_line<'t>(lines: impl Iterator<Item = &'t str>, escape: char) -> (usize, String) {
    let goes_on = |line: &str| line.trim_end().ends_with(escape);
    let comment = |line: &str| line.trim_start().starts_with('#');
    let mut open = true;
    let mut is_first = true;
    let taken = lines.take_while(|line| {
        let takes = open;
        open = match std::mem::take(&mut is_first) {
            true => goes_on(line) && !comment(line),
            false => goes_on(line) || comment(line) || line.trim().is_empty(),
        };
        takes
    });
    let taken: Vec<&str> = taken.collect();
    let text = match taken.first() {
        Some(first) if comment(first) => String::new(),
        _ => super::words::joined(&taken.join("\n"), escape),
    };
    (taken.len(), text)
}

/// What follows the instruction's name, of those that take here-documents.
fn instruction(head: &str) -> Option<&str> {
    let (name, rest) = head.trim_start().split_once(char::is_whitespace)?;
    let takes = ["RUN", "COPY", "ADD"];
    takes
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        .then_some(rest)
}

/// Options and command of a `RUN`.
fn run_parts(head: &str) -> Option<(&str, &str)> {
    let (name, rest) = head.trim_start().split_once(char::is_whitespace)?;
    if !name.eq_ignore_ascii_case("RUN") {
        return None;
    }
    let rest = rest.trim_start();
    let mut command = rest;
    while command.starts_with("--") {
        let end = command.find(char::is_whitespace).unwrap_or(command.len());
        command = command[end..].trim_start();
    }
    Some((&rest[..rest.len() - command.len()], command))
}

/// One here-document and nothing else.
fn stands_alone(command: &str) -> bool {
    command.starts_with("<<") && !command.trim_end().contains(char::is_whitespace)
}

/// Words of the form `<<NAME`, `<<-NAME`, with a file descriptor before or without.
fn delimiters(rest: &str) -> Vec<Delimiter> {
    let words = super::words::split(rest, '\\').unwrap_or_default();
    let delimiter = |word: &String| {
        let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let word = word.strip_prefix("<<")?;
        let (strips_tabs, word) = match word.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, word),
        };
        let name = word.trim_matches(|c| c == '"' || c == '\'');
        let good = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        good.then(|| Delimiter {
            name: name.to_owned(),
            strips_tabs,
        })
    };
    words.iter().filter_map(delimiter).collect()
}

/// Behind the last line of the last here-document; the name of one that has none otherwise.
fn body_end(lines: &[&str], from: usize, delimiters: &[Delimiter]) -> Result<usize, String> {
    let mut at = from;
    for delimiter in delimiters {
        let is_end = |line: &&str| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let line = match delimiter.strips_tabs {
                true => line.trim_start_matches('\t'),
                false => line,
            };
            line == delimiter.name
        };
        match lines[at.min(lines.len())..].iter().position(is_end) {
            Some(ahead) => at += ahead + 1,
            None => return Err(delimiter.name.clone()),
        }
    }
    Ok(at)
}

/// A word that no line of the text is: nobody writes down a text that holds its own hash.
fn unused_word(text: &str) -> String {
    let digest = Digest::from_sha256(Sha256::digest(text).into());
    format!("END_OF_SCRIPT_{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_here_document_within_a_command_becomes_the_script_around_it() {
        let text = "FROM x\nRUN --network=none cat <<EOF > /a\nENV b\nEOF\nRUN true\n";
        let rewritten = rewrite(text, '\\').expect("ended");
        let mark = unused_word(text);
        let expected = format!(
            "FROM x\nRUN --network=none <<'{mark}'\ncat <<EOF > /a\nENV b\nEOF\n{mark}\nRUN true\n"
        );
        assert_eq!(rewritten.text, expected);
        assert!(rewritten.is_inserted(2) && !rewritten.is_inserted(3));
        assert_eq!(rewritten.line(2), 2);
        assert_eq!(rewritten.line(3), 2);
        assert_eq!(rewritten.line(7), 5);
    }

    #[test]
    fn what_stands_alone_and_what_is_none_stays() {
        for text in [
            "RUN <<EOF\ncat <<X\nEOF\n",
            "RUN echo $((1<<2)) '<<EOF'\n",
            "RUN cat <<<word\n",
            "# RUN cat <<EOF\n",
            "COPY <<A <<-\"B\" /d/\na\nA\n\tb\n\tB\n",
            "LABEL a=<<EOF\n",
        ] {
            assert_eq!(rewrite(text, '\\').expect(text).text, text);
        }
        assert_eq!(names("COPY <<A <<-\"B.c\" /d/\n", '\\'), ["A", "B.c"]);
    }

    #[test]
    fn one_without_an_end_is_named() {
        let error = rewrite("FROM x\nRUN cat <<EOF\nx\n", '\\')
            .err()
            .expect("refused");
        assert_eq!(error.line, Some(2));
        assert!(error.problem.contains("EOF"));
    }
}
