//! JSON bodies: bounded, timed, and refused with the path of the field at fault.

mod keyed;

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use pinfold_model::{Code, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::keyed::Keyed;
use crate::failure::Failure;

/// Bound of a JSON body.
pub const JSON_BODY_MAX_BYTES: usize = 2 << 20;
/// A body of that size that takes longer is a stalled or hostile client.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const LARGE_BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// Bodies larger than that which are in memory at a time.
static LARGE_BODIES: Semaphore = Semaphore::const_new(16);

/// How much of what is too much of a body is read at most.
const DRAINED_MAX_BYTES: usize = 64 << 20;

/// A JSON body, in or out. An empty request body counts as `{}`, so that routes whose fields are all
/// optional need none.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Sync,
    T: DeserializeOwned,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(body, JSON_BODY_MAX_BYTES, BODY_TIMEOUT).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        require_json(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body of at most `max` bytes, for the few routes where a document holds a file's text. Few are
/// in memory at a time: who finds no place in 30 seconds is told `unavailable`. One that takes longer than
/// two minutes to arrive is a `timeout`.
pub async fn read_large_json<T>(request: Request, max: usize) -> Result<T, Failure>
where
    T: DeserializeOwned + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let said = body.size_hint().exact();
    let is_small = said.is_some_and(|bytes| bytes <= JSON_BODY_MAX_BYTES as u64);
    let _place = match is_small {
        true => None,
        false => Some(place().await?),
    };
    let bytes = read_body(body, max, LARGE_BODY_TIMEOUT).await?;
    if bytes.is_empty() {
        return parse(b"{}");
    }
    require_json(&parts.headers)?;
    if bytes.len() <= JSON_BODY_MAX_BYTES {
        return parse(&bytes);
    }
    // The body is gone when this is over, and only what was read of it is left.
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
    parsed.map_err(Error::internal)?
}

async fn place() -> Result<SemaphorePermit<'static>, Failure> {
    let place = tokio::time::timeout(BODY_TIMEOUT, LARGE_BODIES.acquire()).await;
    match place {
        Ok(place) => Ok(place.map_err(Error::internal)?),
        Err(_) => Err(Error::new(
            Code::Unavailable,
            "too many large bodies arrive at the moment; try again shortly",
        )
        .into()),
    }
}

/// Reads a whole body of at most `max` bytes; more is `body_too_large`, slower than `patience` is
/// `timeout`.
async fn read_body(body: Body, max: usize, patience: Duration) -> Result<Bytes, Failure> {
    match tokio::time::timeout(patience, collected(body, max)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(Error::new(
            Code::BodyTooLarge,
            format!("the body may be at most {max} bytes; send files through the file routes"),
        )
        .detail("max_bytes", max)
        .into()),
        Ok(Err(error)) => Err(Error::invalid("body", "the body broke off")
            .because(error)
            .into()),
        Err(_) => Err(Failure::from(Error::new(
            Code::Timeout,
            format!(
                "the body did not arrive within {} seconds",
                patience.as_secs()
            ),
        ))
        .with_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// The body, or `None` for one that is larger than `max`. What is too large is read on and dropped
/// for a while: a client that is answered while it still sends may lose the answer with the
/// connection.
async fn collected(mut body: Body, max: usize) -> Result<Option<Bytes>, axum::Error> {
    // Room for all of it at once: growing would hold it twice.
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(max);
    let mut kept = Vec::with_capacity(if said <= max { said } else { 0 });
    let mut came = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        came = came.saturating_add(data.len());
        if came <= max {
            kept.extend_from_slice(&data);
        } else if came > max.saturating_add(DRAINED_MAX_BYTES) {
            break;
        }
    }
    Ok((came <= max).then(|| kept.into()))
}

fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let sent = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = sent.map(|v| v.split(';').next().unwrap_or_default().trim());
    let json = essence.is_some_and(|e| {
        e.eq_ignore_ascii_case("application/json") || e.to_ascii_lowercase().ends_with("+json")
    });
    if json {
        return Ok(());
    }
    Err(Failure::from(
        Error::new(
            Code::UnsupportedMediaType,
            "the body must be JSON, with the header `Content-Type: application/json`",
        )
        .detail("content_type", sent),
    )
    .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(Keyed(&mut from)).map_err(|error| {
        let path = error.path().to_string();
        described(&path, error.inner())
    })?;
    from.end().map_err(|error| described("", &error))?;
    Ok(value)
}

fn described(path: &str, error: &serde_json::Error) -> Failure {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => {
            let text = error.to_string();
            let reason = text
                .rsplit_once(" at line ")
                .map_or(&*text, |(head, _)| head);
            let field = if matches!(path, "." | "?" | "") {
                "body"
            } else {
                path
            };
            Error::invalid(field, format!("{field}: {reason}")).into()
        }
        Category::Io | Category::Syntax | Category::Eof => Error::invalid(
            "body",
            format!(
                "the body is not valid JSON at line {} column {}",
                error.line(),
                error.column()
            ),
        )
        .into(),
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => Failure::from(Error::internal(error)).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        size: Size,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Size {
        rows: u16,
    }

    async fn fault(content_type: Option<&str>, body: impl Into<Body>) -> Failure {
        let mut request = Request::post("/");
        if let Some(value) = content_type {
            request = request.header(CONTENT_TYPE, value);
        }
        let request = request.body(body.into()).expect("a request");
        match Json::<Wanted>::from_request(request, &()).await {
            Ok(read) => panic!("accepted {} rows", read.0.size.rows),
            Err(failure) => failure,
        }
    }

    #[tokio::test]
    async fn faults_name_the_field_by_its_path() {
        let json = Some("application/json");
        for (body, field) in [
            (r#"{"size":{"rows":"x"}}"#, "size.rows"),
            (r#"{"size":{"rows":1,"cols":2}}"#, "size.cols"),
            (r#"{"size":{}}"#, "size"),
            (r#"{"size":[1]}"#, "size"),
            (r#"[{"rows":1}]"#, "body"),
            ("[]", "body"),
            ("", "body"),
            ("{", "body"),
            (r#"{"size":{"rows":1}} x"#, "body"),
        ] {
            let failure = fault(json, body).await;
            assert_eq!(failure.error().details()["field"], field, "{body}");
            assert_eq!(failure.status(), StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn large_bodies_are_read_up_to_their_own_bound() {
        let read = |bytes: usize| {
            let text = format!("{{\"size\":{{\"rows\":7}}{}}}", " ".repeat(bytes));
            let request = Request::post("/").header(CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(text)).expect("a request");
            read_large_json::<Wanted>(request, 4 << 20)
        };
        for bytes in [0, 3 << 20] {
            assert_eq!(read(bytes).await.expect("fits").size.rows, 7);
        }
        let failure = read(4 << 20).await.expect_err("too large");
        assert_eq!(failure.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let plain = Request::post("/")
            .body(Body::from("{}"))
            .expect("a request");
        let failure = read_large_json::<Wanted>(plain, 9).await.err();
        assert_eq!(failure.expect("no JSON").status(), 415);
    }

    #[tokio::test]
    async fn other_media_types_and_large_bodies_have_their_own_status() {
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(fault(form, "a=b").await.status(), 415);
        assert_eq!(fault(None, "{}").await.status(), 415);
        let large = vec![b' '; JSON_BODY_MAX_BYTES + 1];
        assert_eq!(fault(Some("application/json"), large).await.status(), 413);
    }
}
