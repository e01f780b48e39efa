//! Keyset pages: a position in a list is the last row seen, never a count of rows.
//!
//! Lists are newest first, so rows added while somebody walks a list come before the walk and
//! neither shift nor repeat what follows.

use std::fmt;
use std::str::FromStr;

use pinfold_model::{Time, limits};

use crate::db::Row;
use crate::error::Result;

/// The position of one row: its time in microseconds since the epoch, then its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    at_us: i64,
    id: String,
}

/// The text is no cursor that a list handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of a list; take it unchanged from the page before")]
pub struct InvalidCursor;

impl From<InvalidCursor> for pinfold_model::Error {
    fn from(error: InvalidCursor) -> Self {
        Self::invalid("cursor", error.to_string())
    }
}

/// Longer texts are refused unread; the longest true cursor has about 180 characters.
const CURSOR_MAX_CHARS: usize = 256;

impl Cursor {
    #[must_use]
    pub fn new(at: Time, id: impl Into<String>) -> Self {
        Self {
            at_us: at.as_microsecond(),
            id: id.into(),
        }
    }

    pub(crate) const fn at_us(&self) -> i64 {
        self.at_us
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Hex digits, fit for a URL.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(format!("{}.{}", self.at_us, self.id)))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > CURSOR_MAX_CHARS {
            return Err(InvalidCursor);
        }
        let bytes = hex::decode(text).map_err(|_| InvalidCursor)?;
        let text = String::from_utf8(bytes).map_err(|_| InvalidCursor)?;
        let (at, id) = text.split_once('.').ok_or(InvalidCursor)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if id.is_empty() || !id.bytes().all(plain) {
            return Err(InvalidCursor);
        }
        Ok(Self {
            at_us: at.parse().map_err(|_| InvalidCursor)?,
            id: id.to_owned(),
        })
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    after: Option<Cursor>,
}

impl PageRequest {
    /// At most `limit` rows (taken into 1 to 500) that follow `after`.
    #[must_use]
    pub fn new(limit: u32, after: Option<Cursor>) -> Self {
        Self {
            limit: limit.clamp(1, limits::PAGE_MAX),
            after,
        }
    }

    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// One row more than asked for, which tells whether another page follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The row after which the page begins; without a cursor, one that is newer than any.
    pub(crate) fn after(&self) -> (i64, &str) {
        self.after
            .as_ref()
            .map_or((i64::MAX, ""), |cursor| (cursor.at_us(), cursor.id()))
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::new(limits::PAGE_DEFAULT, None)
    }
}

/// Part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `None` at the end of the list.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page without rows, at the end of its list.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }

    /// Takes the page out of what a query found that asked for [`PageRequest::fetch`] rows.
    pub(crate) fn cut(request: &PageRequest, mut found: Vec<(Cursor, T)>) -> Self {
        let limit = request.limit as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = match found.last() {
            Some((cursor, _)) if more => Some(cursor.clone()),
            _ => None,
        };
        let items = found.into_iter().map(|(_, item)| item).collect();
        Self { items, next }
    }

    /// The same where each row is one item; the columns `at` and `id` are the keyset.
    pub(crate) fn from_rows(
        request: &PageRequest,
        rows: &[Row],
        (at, id): (&'static str, &'static str),
        item: impl Fn(&Row) -> Result<T>,
    ) -> Result<Self> {
        let found = rows.iter().map(|row| {
            let cursor = Cursor {
                at_us: row.int(at)?,
                id: row.text(id)?,
            };
            Ok((cursor, item(row)?))
        });
        Ok(Self::cut(request, found.collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_their_text_form() {
        let cursor = Cursor::new(Time::UNIX_EPOCH, "sbx_0123abc");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn garbage_is_no_cursor() {
        let quoted = hex::encode("12.sbx_' OR 1=1");
        let long = "61".repeat(200);
        for text in [
            "",
            "x",
            "zz",
            "6162",
            &quoted,
            &hex::encode("x.sbx_1"),
            &hex::encode("1."),
            &long,
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }

    #[test]
    fn limits_are_taken_into_their_bounds() {
        assert_eq!(PageRequest::new(0, None).limit(), 1);
        assert_eq!(PageRequest::new(u32::MAX, None).limit(), limits::PAGE_MAX);
    }
}
