//! Cookies: ours taken out of requests, the application's kept to its own address.

use axum::http::header::{COOKIE, HeaderMap, HeaderValue};

use crate::address::{Address, Kind};

/// Carries a browser's session.
pub(crate) const SESSION: &str = "pinfold_preview";
/// Cookies of the platform; the application neither sees nor sets one.
const OURS: &str = "pinfold_";

/// Takes our cookies out of a request; answers with the sessions among them. What is left stands in
/// one header, since HTTP/2 may bring several and HTTP/1.1 has one.
pub(crate) fn take_ours(headers: &mut HeaderMap) -> Vec<String> {
    let (mut sessions, mut left) = (Vec::new(), Vec::<Vec<u8>>::new());
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
            let name = name.trim_ascii();
            if !is_ours(name) {
                left.push(pair.to_vec());
            } else if name == SESSION.as_bytes()
                && let Ok(value) = std::str::from_utf8(&pair[name.len()..])
            {
                sessions.push(value.trim_start_matches(['=', ' ']).to_owned());
            }
        }
    }
    left.retain(|pair| !pair.is_empty());
    headers.remove(COOKIE);
    if let (false, Ok(value)) = (
        left.is_empty(),
        HeaderValue::from_bytes(&left.join(&b"; "[..])),
    ) {
        headers.insert(COOKIE, value);
    }
    sessions
}

fn is_ours(name: &[u8]) -> bool {
    name.get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS.as_bytes()))
}

/// The header that gives a browser its session, for this address only.
pub(crate) fn session_header(address: &Address, https: bool, text: &str, seconds: u64) -> String {
    let path = &address.prefix;
    let secure = if https { "; Secure" } else { "" };
    format!("{SESSION}={text}; Path={path}/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// A `Set-Cookie` of the application, kept to its own host and, at a path address, to its own path;
/// `None` for one that is ours alone to set, or is no text.
pub(crate) fn own_cookie(address: &Address, value: &HeaderValue) -> Option<HeaderValue> {
    let mut parts = value.as_bytes().split(|b| *b == b';');
    let pair = parts.next().unwrap_or_default();
    let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
    if is_ours(name.trim_ascii()) {
        return None;
    }
    let mut kept = pair.to_vec();
    for part in parts {
        let (name, value) = attribute(part);
        if name.eq_ignore_ascii_case(b"domain") {
            continue;
        }
        kept.push(b';');
        if name.eq_ignore_ascii_case(b"path") && address.kind == Kind::Path {
            kept.extend_from_slice(b" Path=");
            kept.extend_from_slice(&below(&address.prefix, value));
        } else {
            kept.extend_from_slice(part);
        }
    }
    HeaderValue::from_bytes(&kept).ok()
}

fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = part.splitn(2, |b| *b == b'=');
    let name = halves.next().unwrap_or_default().trim_ascii();
    (name, halves.next().unwrap_or_default().trim_ascii())
}

/// A path of the application's as a path of the origin it is shown at. A value that is no path means
/// the default, which is below the prefix by itself; it is replaced by all of the application.
fn below(prefix: &str, path: &[u8]) -> Vec<u8> {
    let inside = path
        .strip_prefix(prefix.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    if inside && !path.windows(2).any(|pair| pair == b"..") {
        return path.to_vec();
    }
    let mut whole = prefix.as_bytes().to_vec();
    if path.first() == Some(&b'/') {
        whole.extend_from_slice(path);
    } else {
        whole.push(b'/');
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(kind: Kind) -> Address {
        Address {
            kind,
            slug: "s".into(),
            prefix: if kind == Kind::Path {
                "/p/s".into()
            } else {
                String::new()
            },
            rest: None,
            authority: None,
        }
    }

    fn set(kind: Kind, text: &'static str) -> Option<String> {
        let kept = own_cookie(&address(kind), &HeaderValue::from_static(text))?;
        Some(kept.to_str().expect("text").to_owned())
    }

    #[test]
    fn our_cookies_are_taken_out_and_others_stay() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=1; pinfold_preview=x.y; b=2"),
        );
        headers.append(
            COOKIE,
            HeaderValue::from_static("Pinfold_Admin=z;c=3=4; pinfold_preview=w"),
        );
        assert_eq!(take_ours(&mut headers), ["x.y", "w"]);
        let left: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["a=1; b=2; c=3=4"]);
        let mut only_ours = HeaderMap::new();
        only_ours.insert(COOKIE, HeaderValue::from_static("pinfold_preview=x"));
        take_ours(&mut only_ours);
        assert!(only_ours.is_empty());
    }

    #[test]
    fn cookies_are_kept_to_their_address() {
        for (kind, given, kept) in [
            (
                Kind::Host,
                "a=1; Path=/; Domain=d.org; Secure",
                "a=1; Path=/; Secure",
            ),
            (
                Kind::Path,
                "a=1; Path=/; HttpOnly",
                "a=1; Path=/p/s/; HttpOnly",
            ),
            (Kind::Path, "a=1; path=/x", "a=1; Path=/p/s/x"),
            (Kind::Path, "a=1; Path=/p/s/x", "a=1; Path=/p/s/x"),
            (Kind::Path, "a=1; Path=/p/sx", "a=1; Path=/p/s/p/sx"),
            (Kind::Path, "a=1; Path=", "a=1; Path=/p/s/"),
            (Kind::Path, "a=1; DOMAIN = d.org", "a=1"),
            (Kind::Path, "a=1", "a=1"),
        ] {
            assert_eq!(set(kind, given).as_deref(), Some(kept), "{given}");
        }
    }

    #[test]
    fn an_application_sets_no_cookie_of_ours() {
        assert_eq!(set(Kind::Host, "pinfold_preview=stolen; Path=/"), None);
        assert_eq!(set(Kind::Path, " PINFOLD_preview=stolen"), None);
    }
}
