//! Times, durations, CPUs and file modes.

use std::time::Duration;

use pinfold_model::{Error, Result, Time};

/// RFC 3339 UTC with microseconds.
pub(crate) fn time(at: Time) -> String {
    format!("{at:.6}")
}

pub(crate) fn parse_time(field: &str, text: &str) -> Result<Time> {
    text.parse().map_err(|_| {
        Error::invalid(
            field,
            format!("{field} must be an RFC 3339 time such as 2026-01-31T12:00:00Z"),
        )
    })
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Thousandths of a CPU; the domain checks the bounds.
pub(crate) fn vcpu_millis(vcpu: f64) -> Result<u32> {
    let millis = (vcpu * 1000.0).round();
    if millis >= 1.0 && millis <= f64::from(u32::MAX) {
        return Ok(millis as u32);
    }
    Err(Error::invalid(
        "vcpu",
        "vcpu must be a number from 0.05 to 256",
    ))
}

pub(crate) fn vcpu(millis: u32) -> f64 {
    f64::from(millis) / 1000.0
}

/// `0644` as text from the bits.
pub(crate) fn mode(bits: u32) -> String {
    format!("{:04o}", bits & 0o7777)
}

/// The bits from octal text of one to four digits, with or without a leading `0o`.
pub(crate) fn parse_mode(text: &str) -> Result<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    octal
        .then(|| u32::from_str_radix(digits, 8).ok())
        .flatten()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| Error::invalid("mode", "mode must be octal digits such as 0644"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_text() {
        for (text, bits) in [
            ("0644", 0o644),
            ("755", 0o755),
            ("0o4755", 0o4755),
            ("0", 0),
        ] {
            assert_eq!(parse_mode(text).expect(text), bits);
        }
        assert_eq!(mode(0o100_644), "0644");
        for text in ["", "8", "10000", "+644", "rwx", "-1"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn vcpus_are_rounded_to_thousandths() {
        assert_eq!(vcpu_millis(0.5).expect("valid"), 500);
        assert_eq!(vcpu_millis(1.0004).expect("valid"), 1000);
        for absurd in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            assert!(vcpu_millis(absurd).is_err(), "{absurd}");
        }
    }

    #[test]
    fn times_have_one_form() {
        let at = parse_time("from", "2026-01-31T12:00:00+01:00").expect("valid");
        assert_eq!(time(at), "2026-01-31T11:00:00.000000Z");
        assert!(parse_time("from", "yesterday").is_err());
    }
}
