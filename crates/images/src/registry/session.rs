//! One conversation with a registry about one repository: requests, their authorization, bodies
//! with a bound. Knows no OCI document.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};

use super::auth;
use super::credentials::Credentials;
use super::egress::{self, Guard, Reach, Scheme};
use super::error::{PullError, root_cause};
use super::reference::Reference;

/// From a request to the head of its answer, redirects included.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// A small document, whole.
const DOCUMENT_MAX: Duration = Duration::from_secs(60);

pub(super) struct Session {
    http: Client,
    guard: Guard,
    scheme: Scheme,
    reference: Reference,
    credentials: Credentials,
    /// What the registry took last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Session {
    /// Resolves the registry's name; asks nothing yet.
    pub(super) async fn open(
        reference: Reference,
        credentials: Credentials,
        scheme: Scheme,
        reach: Reach,
    ) -> Result<Self, PullError> {
        if !credentials.is_well_formed() {
            return Err(PullError::Credentials);
        }
        let (http, guard) = egress::open(&reference, scheme, reach).await?;
        let first = match &credentials {
            Credentials::Bearer(token) => auth::bearer(token),
            Credentials::Anonymous | Credentials::Basic { .. } => None,
        };
        Ok(Self {
            http,
            guard,
            scheme,
            reference,
            credentials,
            authorization: Mutex::new(first),
        })
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The answer about a part of the repository, such as `blobs/sha256:...`, of a status that
    /// says success. Authorizes itself when it is asked to.
    pub(super) async fn get(
        &self,
        part: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Response, PullError> {
        let url = self.url(part)?;
        let shown = self.authorization();
        let first = self.send(url.clone(), shown, headers).await?;
        if first.status().as_u16() != 401 {
            return self.successful(part, first);
        }
        let Some(answer) = auth::answer(self, first.headers()).await? else {
            return Err(self.denied());
        };
        *self.lock() = Some(answer.clone());
        let second = self.send(url, Some(answer), headers).await?;
        self.successful(part, second)
    }

    /// One request. Credentials are not passed on by redirects to other hosts.
    pub(super) async fn send(
        &self,
        url: Url,
        authorization: Option<HeaderValue>,
        headers: &[(HeaderName, String)],
    ) -> Result<Response, PullError> {
        let mut request = self.http.get(url);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match tokio::time::timeout(ANSWER_MAX, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.unreachable("it does not answer".to_owned())),
        }
    }

    /// A small body, whole.
    pub(super) async fn body(
        &self,
        mut response: Response,
        max_bytes: u64,
        what: &str,
    ) -> Result<Vec<u8>, PullError> {
        let too_large = || self.protocol(what, format!("it is larger than {max_bytes} bytes"));
        if response
            .content_length()
            .is_some_and(|length| length > max_bytes)
        {
            return Err(too_large());
        }
        let read = async {
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|e| self.failed(&e))? {
                if (body.len() + piece.len()) as u64 > max_bytes {
                    return Err(too_large());
                }
                body.extend_from_slice(&piece);
            }
            Ok(body)
        };
        match tokio::time::timeout(DOCUMENT_MAX, read).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("{what} does not come to an end"))),
        }
    }

    /// Refuses an address that the registry named and must not.
    pub(super) fn check(&self, url: &Url) -> Result<(), PullError> {
        match self.guard.refuses(url) {
            None => Ok(()),
            Some(why) => Err(PullError::Astray {
                registry: self.registry(),
                place: url
                    .host_str()
                    .unwrap_or("nowhere")
                    .chars()
                    .take(100)
                    .collect(),
                why,
            }),
        }
    }

    pub(super) fn protocol(&self, what: &str, problem: String) -> PullError {
        PullError::Protocol {
            registry: self.registry(),
            what: what.to_owned(),
            problem,
        }
    }

    pub(super) fn unexpected(&self, status: u16, headers: &HeaderMap) -> PullError {
        let registry = self.registry();
        match status {
            429 => PullError::Busy {
                registry,
                retry_after: retry_after(headers),
            },
            _ => PullError::Status { registry, status },
        }
    }

    pub(super) fn registry(&self) -> String {
        self.reference.registry().to_owned()
    }

    fn url(&self, part: &str) -> Result<Url, PullError> {
        let (scheme, registry) = (self.scheme.as_str(), self.reference.registry());
        let repository = self.reference.repository();
        format!("{scheme}://{registry}/v2/{repository}/{part}")
            .parse()
            .map_err(|_| self.unreachable("its name makes no address".to_owned()))
    }

    fn successful(&self, part: &str, response: Response) -> Result<Response, PullError> {
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            401 | 403 => Err(self.denied()),
            404 => Err(PullError::NotFound {
                registry: self.registry(),
                what: match part.starts_with("blobs/") {
                    true => format!("blob {} of {}", &part["blobs/".len()..], self.what()),
                    false => self.what(),
                },
            }),
            status => Err(self.unexpected(status, response.headers())),
        }
    }

    fn denied(&self) -> PullError {
        PullError::Denied {
            registry: self.registry(),
            what: self.what(),
            whom: match self.credentials {
                Credentials::Anonymous => "everybody",
                Credentials::Basic { .. } | Credentials::Bearer(_) => "the given credentials",
            },
        }
    }

    fn what(&self) -> String {
        let version = self.reference.version();
        let joint = if self.reference.digest().is_some() {
            '@'
        } else {
            ':'
        };
        format!("{}{joint}{version}", self.reference.repository())
    }

    fn failed(&self, error: &reqwest::Error) -> PullError {
        if error.is_connect() || error.is_redirect() || error.is_builder() || error.is_timeout() {
            return self.unreachable(root_cause(error));
        }
        PullError::BrokenOff {
            registry: self.registry(),
            attempts: 1,
        }
    }

    fn unreachable(&self, why: String) -> PullError {
        PullError::Unreachable {
            registry: self.registry(),
            why,
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.authorization.lock().expect("no panic under this lock")
    }
}

/// In seconds; dates are not heeded.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

/// What manifests and indexes are asked for as.
pub(super) fn accept(media_types: &str) -> (HeaderName, String) {
    (ACCEPT, media_types.to_owned())
}
