//! Answers that hand out somebody's bytes: ranges, names, and no trust in what the bytes are.
//!
//! The bytes are of tenants and come from the server's own origin, where the dashboard lives. So a
//! browser is told to keep them as a file, not to guess their type, and to run nothing of them.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::failure::Failure;
use crate::range::{ByteRange, resolve_range};

/// What is handed out.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// What a browser saves it as; the part behind its last `/`.
    pub name: &'a str,
    pub content_type: &'a str,
    /// `None` where only the end tells.
    pub total_bytes: Option<u64>,
    /// Names the content itself, as a digest does.
    pub etag: Option<&'a str>,
}

impl Download<'_> {
    /// The part that the caller wants; `None` for all of it. A caller that wants to go on with
    /// another content than this one gets all of this one.
    pub fn range(&self, headers: &HeaderMap) -> Result<Option<ByteRange>, Failure> {
        let Some(total) = self.total_bytes else {
            return Ok(None);
        };
        let condition = headers.get(IF_RANGE).map(HeaderValue::as_bytes);
        let same = condition.is_none_or(|wanted| {
            self.etag
                .is_some_and(|etag| format!("\"{etag}\"").as_bytes() == wanted)
        });
        match same {
            true => resolve_range(headers, total),
            false => Ok(None),
        }
    }

    /// The answer, with a body that holds that part.
    #[must_use]
    pub fn answer(&self, range: Option<ByteRange>, body: Body) -> Response {
        let mut response = body.into_response();
        let headers = response.headers_mut();
        let fixed = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
            // Who may read it is asked each time.
            (CACHE_CONTROL, "private, no-cache"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        put(headers, CONTENT_TYPE, self.content_type);
        put(headers, CONTENT_DISPOSITION, &disposition(self.name));
        if let Some(etag) = self.etag {
            put(headers, ETAG, &format!("\"{etag}\""));
        }
        let Some(total) = self.total_bytes else {
            return response;
        };
        put(headers, ACCEPT_RANGES, "bytes");
        match range {
            Some(range) => {
                put(headers, CONTENT_LENGTH, &range.length.to_string());
                put(headers, CONTENT_RANGE, &range.content_range(total));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            None => put(headers, CONTENT_LENGTH, &total.to_string()),
        }
        response
    }
}

/// What no header can hold is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// RFC 6266: the name in ASCII for old clients, and exactly for the others.
fn disposition(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or_default();
    let plain: String = name
        .chars()
        .map(|c| match c {
            ' '..='~' if !matches!(c, '"' | '\\' | '%') => c,
            _ => '_',
        })
        .collect();
    let mut exact = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                exact.push(char::from(byte));
            }
            _ => exact.push_str(&format!("%{byte:02X}")),
        }
    }
    match name {
        "" => "attachment".to_owned(),
        _ => format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::RANGE;

    const REPORT: Download<'static> = Download {
        name: "out/büro \"1\".csv",
        content_type: "text/csv",
        total_bytes: Some(10),
        etag: Some("sha256:ab"),
    };

    fn wanting(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn browsers_save_it_under_its_name_and_run_nothing_of_it() {
        let answer = REPORT.answer(None, Body::empty());
        assert_eq!(answer.status(), 200);
        let headers = answer.headers();
        assert_eq!(
            headers[CONTENT_DISPOSITION],
            "attachment; filename=\"b_ro _1_.csv\"; filename*=UTF-8''b%C3%BCro%20%221%22.csv"
        );
        assert_eq!(headers[CONTENT_LENGTH], "10");
        assert_eq!(headers[ETAG], "\"sha256:ab\"");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(headers.contains_key(CONTENT_SECURITY_POLICY));
    }

    #[test]
    fn a_part_says_which_and_only_of_the_content_it_was_asked_of() {
        let range = REPORT.range(&wanting(&[(RANGE, "bytes=2-3")])).expect("ok");
        let answer = REPORT.answer(range, Body::empty());
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.headers()[CONTENT_RANGE], "bytes 2-3/10");
        assert_eq!(answer.headers()[CONTENT_LENGTH], "2");
        for (tag, part) in [("\"sha256:ab\"", true), ("\"sha256:cd\"", false)] {
            let wanted = wanting(&[(RANGE, "bytes=2-"), (IF_RANGE, tag)]);
            assert_eq!(REPORT.range(&wanted).expect("ok").is_some(), part);
        }
        assert!(REPORT.range(&wanting(&[(RANGE, "bytes=10-")])).is_err());
    }

    #[test]
    fn what_has_no_known_length_comes_whole() {
        let stream = Download {
            total_bytes: None,
            etag: None,
            ..REPORT
        };
        let wanted = wanting(&[(RANGE, "bytes=2-3")]);
        assert_eq!(stream.range(&wanted).expect("ok"), None);
        let answer = stream.answer(None, Body::empty());
        assert!(!answer.headers().contains_key(ACCEPT_RANGES));
    }
}
