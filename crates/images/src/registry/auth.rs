//! Answering a registry's challenge (RFC 9110 11.6.1; distribution's token authentication).

use http_auth::parser::ChallengeParser;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credentials::Credentials;
use super::error::PullError;
use super::session::Session;

/// Challenges looked at in one answer.
const CHALLENGES_MAX: usize = 16;
/// Bytes of the answer that carries a token.
const TOKEN_MAX_BYTES: u64 = 256 << 10;

/// How the registry wants to be shown who asks.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// With a token that `realm` gives.
    Bearer {
        realm: String,
        service: Option<String>,
    },
    Basic,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The header that answers the challenge; `None` where we have nothing to answer with.
pub(super) async fn answer(
    session: &Session,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, PullError> {
    match (challenge(headers), session.credentials()) {
        // A token that was shown and not taken has no better one behind it.
        (_, Credentials::Bearer(_)) | (None, _) => Ok(None),
        (Some(Challenge::Bearer { realm, service }), credentials) => {
            let url = token_url(session, &realm, service.as_deref())?;
            let token = fetch_token(session, url, credentials).await?;
            Ok(token.as_deref().and_then(bearer))
        }
        (Some(Challenge::Basic), Credentials::Basic { username, password }) => {
            Ok(basic(username, password))
        }
        (Some(Challenge::Basic), Credentials::Anonymous) => Ok(None),
    }
}

pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

pub(super) fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    secret(&format!("Basic {pair}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The challenge to answer: a token where there is a choice.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for header in headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .take(CHALLENGES_MAX)
    {
        let Ok(text) = header.to_str() else { continue };
        for parsed in ChallengeParser::new(text).take(CHALLENGES_MAX) {
            let Ok(parsed) = parsed else { break };
            let param = |wanted: &str| {
                let found = parsed
                    .params
                    .iter()
                    .find(|(k, _)| k.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            if parsed.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
            if let (true, Some(realm)) =
                (parsed.scheme.eq_ignore_ascii_case("bearer"), param("realm"))
            {
                let service = param("service");
                return Some(Challenge::Bearer { realm, service });
            }
        }
    }
    basic
}

fn token_url(session: &Session, realm: &str, service: Option<&str>) -> Result<Url, PullError> {
    let mut url = Url::parse(realm)
        .map_err(|_| session.protocol("a challenge", "its realm is no address".to_owned()))?;
    session.check(&url)?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        let scope = format!("repository:{}:pull", session.reference().repository());
        query.append_pair("scope", &scope);
    }
    Ok(url)
}

/// `None`: the place does not take our credentials.
async fn fetch_token(
    session: &Session,
    url: Url,
    credentials: &Credentials,
) -> Result<Option<String>, PullError> {
    let authorization = match credentials {
        Credentials::Basic { username, password } => basic(username, password),
        Credentials::Anonymous | Credentials::Bearer(_) => None,
    };
    let response = session.send(url, authorization, &[]).await?;
    match response.status().as_u16() {
        200 => {}
        400 | 401 | 403 | 404 => return Ok(None),
        status => return Err(session.unexpected(status, response.headers())),
    }
    let body = session.body(response, TOKEN_MAX_BYTES, "a token").await?;
    // The parser's own words could repeat the token.
    let parsed: TokenAnswer = serde_json::from_slice(&body)
        .map_err(|_| session.protocol("a token", "it is not the JSON it should be".to_owned()))?;
    let token = [parsed.token, parsed.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty());
    match token {
        Some(token) => Ok(Some(token)),
        None => Err(session.protocol("a token", "there is none in it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        challenge(&headers)
    }

    #[test]
    fn a_token_is_preferred_wherever_it_stands() {
        let token = Some(Challenge::Bearer {
            realm: "https://a.example/t".into(),
            service: Some("s, \"x\"".into()),
        });
        let bearer = r#"Bearer realm="https://a.example/t",service="s, \"x\"",scope="ignored""#;
        assert_eq!(parsed(&[bearer]), token);
        assert_eq!(parsed(&["Basic realm=\"r\"", bearer]), token);
        assert_eq!(parsed(&["Basic realm=\"r\""]), Some(Challenge::Basic));
        assert_eq!(parsed(&["Bearer service=\"no realm\""]), None);
        assert_eq!(parsed(&["Negotiate", "=;,,"]), None);
        assert_eq!(parsed(&[]), None);
    }
}
