//! Who may: finds what a request presents, has the engine judge it, and takes it out, so that the
//! application never sees a credential of the platform.

use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_engine::{
    Engine, OpenPreview, PREVIEW_LINK_PREFIX, PREVIEW_TOKEN_PREFIX, PreviewSession, Verdict,
};
use pinfold_http::{BaseUrl, PREVIEW_TOKEN_HEADER, TUNNEL_TOKEN_HEADER};
use pinfold_model::{Code, Error, KeyId, PreviewAccess, Result};

use crate::address::{Address, Kind};
use crate::cookie;
use crate::request::{wants_websocket, without_token};

/// Headers that may carry a credential of the platform, or the application's own.
const SHARED_HEADERS: [HeaderName; 2] = [AUTHORIZATION, HeaderName::from_static("x-api-key")];
/// Values of those that one request may bring: each costs a look-up.
const PRESENTED_MAX: usize = 8;

/// What becomes of the request.
pub(crate) enum Admission {
    /// It may pass; its credentials are out.
    In,
    /// The browser that showed a token gets a session, and the address without the token.
    Session(Response),
}

pub(crate) async fn admit(
    engine: &Engine,
    open: &OpenPreview,
    address: &Address,
    base: &BaseUrl,
    parts: &mut Parts,
) -> Result<Admission> {
    let mut judge = Judge {
        engine,
        open,
        found: Found::Nothing,
        left: PRESENTED_MAX,
    };
    let sessions = cookie::take_ours(&mut parts.headers);
    if is_of_its_own_pages(parts, address) {
        for text in sessions {
            judge.session(&text).await?;
        }
    }
    judge.own_header(&parts.headers).await?;
    for name in SHARED_HEADERS {
        judge.shared_header(&mut parts.headers, &name).await?;
    }
    let token = address.rest.as_ref().and_then(|rest| without_token(rest).1);
    if let Some(token) = token
        && let Some(session) = judge.query(&token, parts).await?
    {
        return Ok(Admission::Session(redirect(address, base, &session)));
    }
    match judge.found {
        _ if open.access() == PreviewAccess::Public => Ok(Admission::In),
        Found::Opens(_) => Ok(Admission::In),
        Found::Forbidden => Err(Error::new(
            Code::PermissionDenied,
            "this key may not use the preview: it belongs to another project",
        )),
        Found::Dead => Err(unauthenticated(
            "what opens this preview is not valid: it is unknown, expired, revoked, or another's",
        )),
        Found::Nothing => Err(unauthenticated(hint(open.access()))),
    }
}

/// What all that was presented amounts to, best last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    Dead,
    Forbidden,
    Opens(Option<KeyId>),
}

struct Judge<'a> {
    engine: &'a Engine,
    open: &'a OpenPreview,
    found: Found,
    left: usize,
}

impl Judge<'_> {
    /// Costs a look-up only where its seal is ours, so that cookies which another page of the domain
    /// put there do no harm.
    async fn session(&mut self, text: &str) -> Result<()> {
        let opens = self.engine.preview_session_opens(self.open, text).await?;
        // An old session is no claim of its own: what else came decides.
        if opens {
            self.note(Found::Opens(None));
        }
        Ok(())
    }

    async fn own_header(&mut self, headers: &HeaderMap) -> Result<()> {
        let values = headers.get_all(PREVIEW_TOKEN_HEADER).iter();
        for value in values.chain(headers.get_all(TUNNEL_TOKEN_HEADER)) {
            let secret = value.to_str().ok().and_then(secret_of);
            let secret = secret.unwrap_or_default();
            if self.judge(secret).await? == Verdict::Foreign {
                self.note(Found::Dead);
            }
        }
        Ok(())
    }

    /// Judges each value of a header, and leaves those that are the application's own.
    async fn shared_header(&mut self, headers: &mut HeaderMap, name: &HeaderName) -> Result<()> {
        let values: Vec<_> = headers.get_all(name).iter().cloned().collect();
        let mut own = Vec::new();
        for value in &values {
            match value.to_str().ok().and_then(secret_of) {
                Some(secret) if self.judge(secret).await? != Verdict::Foreign => {}
                _ => own.push(value.clone()),
            }
        }
        if own.len() < values.len() {
            headers.remove(name);
            for value in own {
                headers.append(name, value);
            }
        }
        Ok(())
    }

    /// A token in the query; `Some` where a browser gets a session for it. Keys are not taken from
    /// there: addresses end up in logs and histories.
    async fn query(&mut self, token: &str, parts: &Parts) -> Result<Option<PreviewSession>> {
        let get = parts.method == Method::GET && !wants_websocket(parts);
        if token.starts_with(PREVIEW_LINK_PREFIX) && get {
            self.one_more()?;
            return match self.engine.redeem_preview_link(self.open, token).await {
                Ok(session) => Ok(Some(session)),
                // Whoever has a session already may come back to a link that is used up.
                Err(error) if error.code() == Code::Unauthenticated && self.may() => Ok(None),
                Err(error) => Err(error),
            };
        }
        if !token.starts_with(PREVIEW_TOKEN_PREFIX) {
            self.note(Found::Dead);
            return Ok(None);
        }
        match self.judge(token).await? {
            Verdict::Opens(key) if get && wants_page(&parts.headers) => Ok(Some(
                self.engine.begin_preview_session(self.open, key.as_ref()),
            )),
            _ => Ok(None),
        }
    }

    async fn judge(&mut self, secret: &str) -> Result<Verdict> {
        self.one_more()?;
        let verdict = self.engine.judge_preview_secret(self.open, secret).await?;
        self.note(match &verdict {
            Verdict::Opens(key) => Found::Opens(key.clone()),
            Verdict::Forbidden => Found::Forbidden,
            Verdict::Dead => Found::Dead,
            Verdict::Foreign => return Ok(verdict),
        });
        Ok(verdict)
    }

    fn note(&mut self, found: Found) {
        if found > self.found {
            self.found = found;
        }
    }

    fn may(&self) -> bool {
        matches!(self.found, Found::Opens(_)) || self.open.access() == PreviewAccess::Public
    }

    fn one_more(&mut self) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::invalid("authorization", "the request brings too many credentials")
        })?;
        Ok(())
    }
}

/// Whether a browser sends the request for a page of this preview, or for somebody who opens one. Pages
/// of other previews are of the same site, so their requests bring its cookies too, and must not pass
/// for those of whoever has the session (Fetch Metadata; `Origin` for browsers without it).
fn is_of_its_own_pages(parts: &Parts, address: &Address) -> bool {
    let text = |name: &str| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    if let Some(site) = text("sec-fetch-site") {
        let opened = parts.method == Method::GET
            && text("sec-fetch-mode") == Some("navigate")
            && text("sec-fetch-dest").is_none_or(|dest| dest == "document");
        return matches!(site, "same-origin" | "none") || opened;
    }
    let Some(origin) = text("origin") else {
        return true;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let own = address.authority.as_ref().map(Authority::as_str);
    host.is_some() && host == own
}

/// The secret in a header's value: behind `Bearer`, or all of it.
fn secret_of(value: &str) -> Option<&str> {
    let value = value.trim();
    let secret = match value.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
        Some(_) => return None,
        None => value,
    };
    (!secret.is_empty()).then_some(secret)
}

/// Browsers that show a page say so; programs that fetch data rather not.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// To the same address without the token, with the session. Absolute where the path alone could name
/// another host.
fn redirect(address: &Address, base: &BaseUrl, session: &PreviewSession) -> Response {
    let rest = address.rest.as_ref().map(|rest| without_token(rest).0);
    let rest = rest.as_ref().map_or("/", |rest| rest.as_str());
    let target = match (address.kind, &address.authority) {
        (Kind::Host | Kind::Tunnel, Some(authority)) => {
            format!("{}://{authority}{rest}", base.scheme())
        }
        _ => format!("{}{rest}", address.prefix),
    };
    let seconds = session.lasts.as_secs();
    let cookie = cookie::session_header(address, base.is_https(), &session.text, seconds);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for (name, value) in [(LOCATION, target), (SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

fn hint(access: PreviewAccess) -> &'static str {
    match access {
        PreviewAccess::Token => {
            "this preview needs its token (or a key): send `Authorization: Bearer <token>`, or add \
             `?pinfold_token=<token>` in a browser"
        }
        PreviewAccess::Authenticated | PreviewAccess::Public => {
            "this preview needs a key: send `Authorization: Bearer <key>`, or open it in a browser \
             with a link from `pinfold preview link`"
        }
    }
}

fn unauthenticated(text: &str) -> Error {
    Error::new(Code::Unauthenticated, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_both_forms_and_other_schemes_are_not_ours() {
        for (value, secret) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", Some("Bearer")),
            ("", None),
        ] {
            assert_eq!(secret_of(value), secret, "{value:?}");
        }
    }

    #[test]
    fn sessions_count_for_requests_of_their_own_pages_only() {
        let address = Address {
            kind: Kind::Host,
            slug: "s".into(),
            prefix: String::new(),
            rest: None,
            authority: Some("s.d.org:7070".parse().expect("a host")),
        };
        let ask = |method: &str, headers: &[(&str, &str)]| {
            let mut request = axum::http::Request::builder().method(method);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let parts = request.body(()).expect("a request").into_parts().0;
            is_of_its_own_pages(&parts, &address)
        };
        let site = |site| ("sec-fetch-site", site);
        let navigate = ("sec-fetch-mode", "navigate");
        assert!(ask("POST", &[]));
        assert!(ask("POST", &[site("same-origin")]));
        assert!(ask("GET", &[site("none"), navigate]));
        assert!(ask(
            "GET",
            &[site("cross-site"), navigate, ("sec-fetch-dest", "document")]
        ));
        assert!(ask("POST", &[("origin", "http://s.d.org:7070")]));
        assert!(!ask("GET", &[site("same-site")]));
        assert!(!ask("POST", &[site("same-site"), navigate]));
        assert!(!ask(
            "GET",
            &[site("same-site"), navigate, ("sec-fetch-dest", "iframe")]
        ));
        for origin in ["http://other.d.org:7070", "null", ""] {
            assert!(!ask("GET", &[("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn the_best_of_what_was_presented_counts() {
        assert!(Found::Opens(None) > Found::Forbidden);
        assert!(Found::Forbidden > Found::Dead);
        assert!(Found::Dead > Found::Nothing);
    }
}
