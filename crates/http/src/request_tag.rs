//! The id of one request: what the caller sent where that is sane, else one of ours.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use pinfold_model::RequestId;

pub(crate) const HEADER: &str = "x-request-id";
const MAX_CHARS: usize = 64;

/// Two spellings of one id: ours for logs and audit, and the text that the caller sees.
#[derive(Debug, Clone)]
pub struct RequestTag {
    pub id: RequestId,
    /// What goes into `x-request-id` and error bodies: the caller's own text where it was usable.
    pub shown: String,
}

impl RequestTag {
    /// A usable id is 1 to 64 letters, digits, `-`, `_` and `.`. Ours then is `req_` and its letters
    /// and digits, so that one can be found by the other.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        sent.and_then(Self::from_caller).unwrap_or_else(Self::made)
    }

    fn from_caller(text: &str) -> Option<Self> {
        let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if text.len() > MAX_CHARS || !text.bytes().all(sane) {
            return None;
        }
        let letters: String = text
            .strip_prefix("req_")
            .unwrap_or(text)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        Some(Self {
            id: format!("req_{letters}").parse().ok()?,
            shown: text.to_owned(),
        })
    }

    fn made() -> Self {
        let id = RequestId::generate();
        Self {
            shown: id.to_string(),
            id,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for RequestTag {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(Self::made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        for (sent, kept) in [
            ("req_abc", true),
            ("0191d3a1-1111-7000-8000-000000000000", true),
            ("a.b_c-1", true),
            ("", false),
            ("---", false),
            ("a b", false),
            ("é", false),
        ] {
            let tag = RequestTag::from_caller(sent);
            assert_eq!(tag.is_some(), kept, "{sent}");
            if let Some(tag) = tag {
                assert_eq!(tag.shown, sent);
            }
        }
        assert!(RequestTag::from_caller(&"x".repeat(65)).is_none());
    }
}
