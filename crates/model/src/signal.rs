//! Names of signals (signal(7), the numbers of Linux on x86-64 and arm64).

use crate::error::{Error, Result};

const NAMES: [(&str, i32); 30] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("SYS", 31),
];

/// The number of a signal: a number from 1 to 64, or a name with or without `SIG`, in any case.
pub fn parse(text: &str) -> Result<i32> {
    if let Ok(number) = text.parse::<i32>()
        && (1..=64).contains(&number)
    {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| *number).ok_or_else(|| {
        Error::invalid(
            "signal",
            "signal must be a name such as INT or SIGTERM, or a number from 1 to 64",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_known_and_others_refused() {
        for (text, number) in [("INT", 2), ("sigterm", 15), ("9", 9), ("SIGSYS", 31)] {
            assert_eq!(parse(text).expect(text), number);
        }
        for text in ["", "0", "65", "-9", "SIG", "FOO"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
