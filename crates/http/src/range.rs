//! `Range: bytes=...` (RFC 9110 section 14): one range of a representation of known length.

use axum::http::header::{CONTENT_RANGE, HeaderValue, RANGE};
use axum::http::{HeaderMap, StatusCode};
use pinfold_model::{Code, Error};

use crate::failure::Failure;

/// A part of a representation: never empty, within its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub offset: u64,
    pub length: u64,
}

impl ByteRange {
    /// The value of `Content-Range`.
    #[must_use]
    pub fn content_range(self, total: u64) -> String {
        let last = self.offset + self.length - 1;
        format!("bytes {}-{last}/{total}", self.offset)
    }
}

/// The part that the caller wants; `None` for all of it, also where the header is one that a server
/// may ignore (several ranges, other units, bad syntax). A range that begins behind the end is 416.
pub fn resolve_range(headers: &HeaderMap, total: u64) -> Result<Option<ByteRange>, Failure> {
    let header = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Ok(None);
    };
    let range = match (number(first), number(last)) {
        (Some(None), Some(Some(suffix))) => {
            let length = suffix.min(total);
            (total - length, length)
        }
        (Some(Some(first)), Some(None)) => (first, total.saturating_sub(first)),
        (Some(Some(first)), Some(Some(last))) if first <= last => {
            let end = last.saturating_add(1).min(total);
            (first, end.saturating_sub(first))
        }
        _ => return Ok(None),
    };
    match range {
        (_, 0) => Err(unsatisfiable(total)),
        (offset, length) => Ok(Some(ByteRange { offset, length })),
    }
}

/// `None` for what is no number, `Some(None)` for nothing at all.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    // `parse` would take a leading plus sign.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
        .map(Some)
}

fn unsatisfiable(total: u64) -> Failure {
    let header =
        HeaderValue::from_str(&format!("bytes */{total}")).expect("digits are valid in a header");
    Failure::from(
        Error::new(
            Code::RangeNotSatisfiable,
            format!("the range begins behind the end: there are {total} bytes"),
        )
        .detail("size_bytes", total),
    )
    .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
    .with_header(CONTENT_RANGE, header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(header: &str, total: u64) -> Result<Option<ByteRange>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(header).expect("header text"));
        resolve_range(&headers, total)
    }

    #[test]
    fn ranges_are_cut_to_what_exists() {
        for (header, expected) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=2-", Some((2, 8))),
            ("bytes=2-99", Some((2, 8))),
            ("bytes=-3", Some((7, 3))),
            ("bytes=-99", Some((0, 10))),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("items=0-1", None),
        ] {
            let found = resolve(header, 10).expect(header);
            assert_eq!(found.map(|r| (r.offset, r.length)), expected, "{header}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_416_with_the_length() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            let failure = resolve(header, 10).expect_err(header);
            assert_eq!(failure.status(), 416);
            assert_eq!(failure.headers()[CONTENT_RANGE], "bytes */10");
        }
        assert!(resolve("bytes=0-", 0).is_err());
    }
}
