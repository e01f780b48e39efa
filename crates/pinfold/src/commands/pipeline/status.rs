//! The line at the bottom of a terminal that says which step runs and for how long. It is there
//! only while the terminal's last line is whole, so that it never stands behind half of one.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::run::terminal_size;

const FRAMES: [&str; 4] = ["-", "\\", "|", "/"];
const ERASE_LINE: &str = "\r\x1b[K";

#[derive(Debug)]
pub(super) struct Status {
    since: Instant,
    frame: usize,
    drawn: bool,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            frame: 0,
            drawn: false,
        }
    }

    /// Another step counts from now.
    pub(super) fn restart(&mut self) {
        self.since = Instant::now();
    }

    pub(super) fn draw(&mut self, text: &str) {
        self.frame = (self.frame + 1) % FRAMES.len();
        let seconds = self.since.elapsed().as_secs();
        let took = clock(Duration::from_secs(seconds));
        let whole = format!("{} {text}  {took}", FRAMES[self.frame]);
        // A line that wraps could not be erased.
        let columns = usize::from(terminal_size().cols).saturating_sub(1);
        let _ = write!(io::stderr(), "{ERASE_LINE}{}", fitting(&whole, columns));
        let _ = io::stderr().flush();
        self.drawn = true;
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "{ERASE_LINE}");
            let _ = io::stderr().flush();
        }
    }
}

/// As much as fits. What may take two columns counts as two.
fn fitting(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    let over = text.char_indices().find(|(_, character)| {
        taken += if character.is_ascii() { 1 } else { 2 };
        taken > columns
    });
    over.map_or(text, |(at, _)| &text[..at])
}

/// `9s`, `1m05s`, `2h00m`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (minutes, rest) = (seconds / 60, seconds % 60);
    match minutes {
        0 => format!("{rest}s"),
        1..60 => format!("{minutes}m{rest:02}s"),
        _ => format!("{}h{:02}m", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fitting("abc", 3), "abc");
        assert_eq!(fitting("abc", 2), "ab");
        assert_eq!(fitting("a\u{8a66}\u{9a13}", 4), "a\u{8a66}");
        assert_eq!(fitting("a", 0), "");
    }

    #[test]
    fn long_steps_are_shown_in_hours() {
        for (seconds, text) in [(0, "0s"), (65, "1m05s"), (3600, "1h00m"), (7384, "2h03m")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
