//! Which SDK calls, as far as its version changes what a call means.

use axum::http::HeaderMap;

const VERSION: &str = "x-stainless-package-version";

/// The version of the SDK behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sdk(Option<(u32, u32)>);

impl Sdk {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let version = headers.get(VERSION).and_then(|text| text.to_str().ok());
        Self(version.map(|version| {
            let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
            (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
        }))
    }

    /// Whether it is older than that; what says no version is new.
    pub(super) fn before(self, major: u32, minor: u32) -> bool {
        self.0.is_some_and(|version| version < (major, minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn versions_are_numbers_and_nobody_is_new() {
        for (version, old) in [
            ("0.68.0", true),
            ("1.7.0", true),
            ("1.11.0", false),
            ("3.0.0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(VERSION, HeaderValue::from_static(version));
            assert_eq!(Sdk::of(&headers).before(1, 11), old, "{version}");
        }
        assert!(!Sdk::of(&HeaderMap::new()).before(1, 11));
    }
}
