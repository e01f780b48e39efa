//! Headers of requests and answers that go on: what is of one hop only stays behind. Pure.

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::refusal::NoWay;

/// Of one hop only (RFC 9110, 7.6.1). `Connection` names more of them.
const HOP: [HeaderName; 6] = [
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
];

/// The protocol that the request wants to go on with, if any.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = headers.get_all(CONNECTION).iter().any(|value| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    });
    headers.get(UPGRADE).filter(|_| wants).cloned()
}

/// As an origin server wants it: no authority in its first line, nothing of the last hop.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    upgrade: Option<&HeaderValue>,
) -> Result<(), NoWay> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri: Uri = path
        .parse()
        .map_err(|_| NoWay::Unreachable("a path that is none".to_owned()))?;
    *request.uri_mut() = uri;
    let has_chunks = request.headers().contains_key(TRANSFER_ENCODING);
    strip(request.headers_mut());
    if has_chunks {
        // Without it a body of unknown length would be left out of a GET.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    if let Some(protocol) = upgrade {
        keep_upgrade(request.headers_mut(), protocol);
    }
    Ok(())
}

fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter_map(|token| token.trim().parse().ok())
        .filter(|name| *name != HOST)
        .collect()
}

/// Takes out what `Connection` names now, so that it takes nothing out that is put in later.
pub(super) fn strip_named(headers: &mut HeaderMap) {
    let kept = upgrade(headers).map(|_| HeaderValue::from_static("upgrade"));
    for name in named(headers) {
        if ![UPGRADE, TRANSFER_ENCODING].contains(&name) {
            headers.remove(name);
        }
    }
    headers.remove(CONNECTION);
    if let Some(upgrade) = kept {
        headers.insert(CONNECTION, upgrade);
    }
}

pub(super) fn strip(headers: &mut HeaderMap) {
    for name in named(headers)
        .iter()
        .chain(&HOP)
        .chain([&CONNECTION, &UPGRADE])
    {
        headers.remove(name);
    }
}

pub(super) fn keep_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}
