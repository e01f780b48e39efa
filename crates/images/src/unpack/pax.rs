//! PAX extended header records: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.
//!
//! Values are bytes and may hold newlines (capabilities do), so records are cut by their length
//! and never by line; cutting by line would let a value smuggle in a `path` record.

use super::header::Problem;
use crate::limits::Limits;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What the records say about the next entry. Later records win, as POSIX says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// One of GNU's sparse forms that keep their map in PAX records.
    pub(super) sparse: bool,
}

pub(super) fn parse(mut records: &[u8], limits: &Limits) -> Result<Overrides, Problem> {
    let mut overrides = Overrides::default();
    while !records.is_empty() {
        let length = record_length(records)?;
        let (record, rest) = records.split_at(length);
        let (key, value) = key_and_value(record)?;
        overrides.apply(key, value, limits)?;
        records = rest;
    }
    Ok(overrides)
}

const MALFORMED: Problem = "a PAX record is malformed";

/// Digits of a record's length that are looked at; no extension header is longer than they count.
const LENGTH_MAX_DIGITS: usize = 20;

/// The length of the first record, within `records`.
fn record_length(records: &[u8]) -> Result<usize, Problem> {
    let mut start = records.iter().take(LENGTH_MAX_DIGITS);
    let space = start.position(|b| *b == b' ').ok_or(MALFORMED)?;
    let length = usize::try_from(decimal(&records[..space])?).map_err(|_| MALFORMED)?;
    if length > records.len() || length <= space {
        return Err(MALFORMED);
    }
    Ok(length)
}

fn key_and_value(record: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let space = record.iter().position(|b| *b == b' ').ok_or(MALFORMED)?;
    let body = record[space + 1..].strip_suffix(b"\n").ok_or(MALFORMED)?;
    let equals = body.iter().position(|b| *b == b'=').ok_or(MALFORMED)?;
    Ok((&body[..equals], &body[equals + 1..]))
}

impl Overrides {
    fn apply(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), Problem> {
        match key {
            // An empty value takes back what was said before.
            b"path" => self.path = (!value.is_empty()).then(|| value.to_vec()),
            b"linkpath" => self.link = (!value.is_empty()).then(|| value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.add_xattr(name, value, limits)?;
                }
            }
        }
        Ok(())
    }

    fn add_xattr(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Problem> {
        if name.is_empty() || name.len() > 255 || name.contains(&0) {
            return Err("an extended attribute's name is malformed");
        }
        if value.len() > limits.xattr_bytes {
            return Err("an extended attribute is larger than the limit");
        }
        if self.xattrs.len() >= limits.xattrs {
            return Err("an entry has more extended attributes than the limit");
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Result<u64, Problem> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let text = std::str::from_utf8(text).map_err(|_| MALFORMED)?;
    text.parse().map_err(|_| MALFORMED)
}

/// Seconds since 1970 with an optional sign and fraction, as whole seconds (rounded down) and
/// nanoseconds.
fn time(text: &[u8]) -> Result<(i64, u32), Problem> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |b| *b == b'.');
    let whole = decimal(parts.next().unwrap_or_default())?;
    let whole = i64::try_from(whole).map_err(|_| MALFORMED)?;
    let nanos = parts.next().map_or(Ok(0), fraction)?;
    Ok(match (negative, nanos) {
        (false, _) => (whole, nanos),
        (true, 0) => (-whole, 0),
        (true, _) => (-whole - 1, 1_000_000_000 - nanos),
    })
}

/// Nanoseconds of the digits after the point; more than nine are cut.
fn fraction(digits: &[u8]) -> Result<u32, Problem> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    Ok(padded.fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(key: &[u8], value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
    }

    #[test]
    fn a_value_with_newlines_cannot_smuggle_a_record() {
        let evil = b"x\n18 path=../escape\n";
        let records = [
            written(b"SCHILY.xattr.user.a", evil),
            written(b"size", b"7"),
        ]
        .concat();
        let overrides = parse(&records, &Limits::default()).expect("well formed");
        assert_eq!(overrides.path, None);
        assert_eq!(overrides.size, Some(7));
        assert_eq!(overrides.xattrs, [(b"user.a".to_vec(), evil.to_vec())]);
    }

    #[test]
    fn times_may_be_negative_and_fractional() {
        assert_eq!(time(b"1700000000.25"), Ok((1_700_000_000, 250_000_000)));
        assert_eq!(time(b"-1.5"), Ok((-2, 500_000_000)));
        assert_eq!(time(b"-3"), Ok((-3, 0)));
        assert_eq!(time(b"1.1234567891"), Ok((1, 123_456_789)));
        for bad in [&b""[..], b".5", b"1e9", b"--1", b"99999999999999999999"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"10",
            b"0 a=b\n",
            b"3 =\n",
            b"99 path=a\n",
            b"9 path=a ",
            b"+8 path=\n",
            b"8 sizeX1\n",
            b"99999999999999999999999 a=b\n",
        ] {
            assert!(parse(bad, &Limits::default()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &Limits::default());
        }

        #[test]
        fn any_value_comes_back(value in proptest::collection::vec(any::<u8>(), 1..200)) {
            let overrides = parse(&written(b"path", &value), &Limits::default()).expect("well formed");
            prop_assert_eq!(overrides.path, Some(value));
        }
    }
}
