//! One request: building it, sending it (again, where that is safe), reading the answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pinfold_wire::bound::MESSAGE_BYTES;
use pinfold_wire::header;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::{ApiError, Error, Result};
use crate::retry::{Safety, TRIES, TRIES_WAITING, pause};

/// For answers that need no long work.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What to send where. Bodies of this type can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    url: Url,
    body: Option<(HeaderValue, Bytes)>,
    idempotency_key: Option<String>,
    range: Option<String>,
    safety: Safety,
    tries: u32,
    timeout: Option<Duration>,
}

impl Call {
    /// The headers are in; the answer's body may take as long as it takes.
    pub(crate) fn unbounded(mut self) -> Self {
        self.timeout = None;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tried for as long as the restart of a server takes.
    pub(crate) fn patient(mut self) -> Self {
        self.tries = TRIES_WAITING;
        self
    }

    /// Tried once: its failure is an answer too.
    pub(crate) fn unrepeated(mut self) -> Self {
        self.tries = 1;
        self
    }

    /// Not to be repeated where it may have had its effect.
    pub(crate) fn once(mut self) -> Self {
        self.safety = Safety::Once;
        self
    }

    /// Names the request, so that repeating it is safe; ours where the caller has none.
    pub(crate) fn named(mut self, key: Option<&str>) -> Self {
        let made = || uuid::Uuid::new_v4().simple().to_string();
        self.idempotency_key = Some(key.map_or_else(made, str::to_owned));
        self.safety = Safety::Repeatable;
        self
    }

    pub(crate) fn range(mut self, value: String) -> Self {
        self.range = Some(value);
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body).map_err(|source| Error::Decode {
            what: "our own request".into(),
            source,
        })?;
        self.body = Some((HeaderValue::from_static("application/json"), bytes.into()));
        Ok(self)
    }

    pub(crate) fn bytes(mut self, body: Bytes) -> Self {
        self.body = Some((HeaderValue::from_static("application/octet-stream"), body));
        self
    }

    pub(crate) fn query(mut self, query: &impl Serialize) -> Result<Self> {
        let text = serde_urlencoded::to_string(query)
            .map_err(|error| Error::Config(format!("cannot write the query: {error}")))?;
        if !text.is_empty() {
            self.url.set_query(Some(&text));
        }
        Ok(self)
    }

    /// Adds one parameter behind those of [`Call::query`].
    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl Client {
    /// A call of `/v1/` and the segments, each one encoded. Reads, PUT and DELETE are repeatable.
    pub(crate) fn call(&self, method: Method, segments: &[&str]) -> Call {
        let safety = if method == Method::POST || method == Method::PATCH {
            Safety::Once
        } else {
            Safety::Repeatable
        };
        Call {
            method,
            url: self.endpoint("v1", segments),
            body: None,
            idempotency_key: None,
            range: None,
            safety,
            tries: TRIES,
            timeout: Some(TIMEOUT),
        }
    }

    pub(crate) fn get(&self, segments: &[&str]) -> Call {
        self.call(Method::GET, segments)
    }

    /// A read of a route that no version prefix has.
    pub(crate) fn outside_v1(&self, segment: &str) -> Call {
        let mut call = self.get(&[]);
        call.url = self.endpoint(segment, &[]);
        call
    }

    /// A POST whose effect is the same twice as once.
    pub(crate) fn repeatable_post(&self, segments: &[&str]) -> Call {
        let mut call = self.call(Method::POST, segments);
        call.safety = Safety::Repeatable;
        call
    }

    pub(crate) fn endpoint(&self, first: &str, segments: &[&str]) -> Url {
        let mut url = self.inner.base.clone();
        url.path_segments_mut()
            .expect("http URLs have path segments")
            .pop_if_empty()
            .push(first)
            .extend(segments);
        url
    }

    /// In one process a refusal is for the caller to hear: nothing is repeated for it in there.
    fn tries(&self, call: &Call) -> u32 {
        match self.inner.destination {
            Some(_) => 1,
            None => call.tries,
        }
    }

    /// Sends, again where that is safe, until an answer of status below 400.
    pub(crate) async fn send(&self, call: Call) -> Result<Response> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.send_once(&call).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match pause(&error, call.safety, tries, self.tries(&call)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Sends a body that cannot be sent again.
    pub(crate) async fn send_stream(&self, call: Call, body: reqwest::Body) -> Result<Response> {
        let request = self
            .request(&call)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body);
        accepted(self.exchange(request, &call).await?).await
    }

    pub(crate) async fn send_once(&self, call: &Call) -> Result<Response> {
        let mut request = self.request(call);
        if let Some((content_type, bytes)) = &call.body {
            request = request
                .header(CONTENT_TYPE, content_type)
                .body(bytes.clone());
        }
        accepted(self.exchange(request, call).await?).await
    }

    /// Over the network, or to the service that stands for it.
    async fn exchange(&self, request: reqwest::RequestBuilder, call: &Call) -> Result<Response> {
        let Some(destination) = &self.inner.destination else {
            return request.send().await.map_err(|e| self.failed(e, call));
        };
        let request = request.build().map_err(|e| self.failed(e, call))?;
        let answered = destination.answer(request);
        let answered = match call.timeout {
            None => answered.await,
            Some(after) => match tokio::time::timeout(after, answered).await {
                Ok(answered) => answered,
                Err(_) => {
                    let url = self.url().to_owned();
                    return Err(Error::Timeout { url, after });
                }
            },
        };
        answered.map_err(|e| self.failed(e, call))
    }

    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let mut request = self
            .inner
            .http
            .request(call.method.clone(), call.url.clone());
        if let Some(key) = &call.idempotency_key {
            request = request.header(header::IDEMPOTENCY_KEY, key);
        }
        if let Some(range) = &call.range {
            request = request.header("range", range);
        }
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        request
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let what = format!("{} {}", call.method, call.url.path());
        let bytes = self.fetch_bytes(call).await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Decode { what, source })
    }

    /// Sends and reads the whole answer. A body that breaks off is a failed try like any other.
    pub(crate) async fn fetch_bytes(&self, call: Call) -> Result<Bytes> {
        let mut tries = 0;
        loop {
            tries += 1;
            let read = async { self.read_all(self.send_once(&call).await?, &call).await };
            let error = match read.await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            match pause(&error, call.safety, tries, self.tries(&call)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Sends and expects no content.
    pub(crate) async fn done(&self, call: Call) -> Result<()> {
        self.send(call).await.map(drop)
    }

    async fn read_all(&self, mut response: Response, call: &Call) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(e, call))? {
            if all.len() + chunk.len() > MESSAGE_BYTES {
                return Err(Error::Protocol(format!(
                    "the answer to {} is larger than {MESSAGE_BYTES} bytes",
                    call.url.path()
                )));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    fn failed(&self, error: reqwest::Error, call: &Call) -> Error {
        // Query values can be file names; the address is enough.
        let source = error.without_url();
        let url = self.url().to_owned();
        if source.is_connect() {
            Error::Connect { url, source }
        } else if source.is_timeout() {
            let after = call.timeout.unwrap_or_default();
            Error::Timeout { url, after }
        } else {
            Error::Broken {
                url,
                source: source.into(),
            }
        }
    }
}

/// What does not fit is far beyond every bound.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn accepted(response: Response) -> Result<Response> {
    if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    Err(Error::Api(Box::new(api_error(response).await)))
}

async fn api_error(mut response: Response) -> ApiError {
    const ENVELOPE_MAX_BYTES: usize = 64 << 10;
    let status = response.status();
    let text_of = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let retry_after = text_of(RETRY_AFTER.as_str())
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let request_id = text_of(header::REQUEST_ID).unwrap_or_default();
    let mut body = Vec::new();
    // What cannot be read of an error's body changes nothing about its status.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ENVELOPE_MAX_BYTES {
            break;
        }
    }
    let mut error = ApiError::from_body(status.as_u16(), &body);
    error.retry_after = retry_after;
    if error.request_id.is_empty() {
        error.request_id = request_id;
    }
    error
}
