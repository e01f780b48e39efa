//! Whole lines out of text that came in pieces, stream by stream.

use pinfold_model::journal::Stream;

/// A line that goes on behind this becomes several.
const LINE_MAX_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Lines {
    out: String,
    err: String,
}

impl Lines {
    /// The lines that have ended with this piece.
    pub(super) fn push(&mut self, stream: Stream, text: &str) -> Vec<String> {
        let begun = match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        let mut ended = Vec::new();
        for piece in text.split_inclusive('\n') {
            let (mut text, ends) = match piece.strip_suffix('\n') {
                Some(text) => (text, true),
                None => (piece, false),
            };
            while begun.len() + text.len() > LINE_MAX_BYTES {
                let (fits, rest) = text.split_at(boundary(text, LINE_MAX_BYTES - begun.len()));
                begun.push_str(fits);
                ended.push(std::mem::take(begun));
                text = rest;
            }
            begun.push_str(text);
            if ends {
                ended.push(std::mem::take(begun));
            }
        }
        ended
    }

    /// What has not ended.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = (Stream, String)> + use<> {
        let rest = [
            (Stream::Stdout, std::mem::take(&mut self.out)),
            (Stream::Stderr, std::mem::take(&mut self.err)),
        ];
        rest.into_iter().filter(|(_, text)| !text.is_empty())
    }
}

/// The last place up to `at` that is not inside a character.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_they_end_and_each_stream_has_its_own() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(Stream::Stdout, "one\ntw"), ["one"]);
        assert!(lines.push(Stream::Stderr, "oh").is_empty());
        assert_eq!(lines.push(Stream::Stdout, "o\n\nthree"), ["two", ""]);
        let rest: Vec<_> = lines.finish().collect();
        assert_eq!(
            rest,
            [
                (Stream::Stdout, "three".to_owned()),
                (Stream::Stderr, "oh".to_owned())
            ]
        );
        assert_eq!(lines.finish().count(), 0);
    }

    #[test]
    fn a_line_without_end_becomes_several_of_whole_characters() {
        let mut lines = Lines::default();
        let text = "é".repeat(LINE_MAX_BYTES);
        let mut all: Vec<String> = ["x", &text, "\n"]
            .iter()
            .flat_map(|piece| lines.push(Stream::Stdout, piece))
            .collect();
        assert!(all.iter().all(|line| line.len() <= LINE_MAX_BYTES));
        assert_eq!(all.len(), 3);
        assert_eq!(all.drain(..).collect::<String>(), format!("x{text}"));
    }
}
