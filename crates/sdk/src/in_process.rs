//! A server in this very process: requests go to a service instead of over the network.
//!
//! For programs that hold the API's router themselves. Nothing listens for it, no proxy of the
//! environment can come in between, and what the service needs to know beside headers can be handed
//! over as extensions. Terminals (`Commands::pty`) are WebSockets and need a connection.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Extensions;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use http_body::Body as HttpBody;
use http_body_util::BodyDataStream;
use reqwest::{Body, Response};
use tower::{Service, ServiceExt};

use crate::client::{Client, base_url};
use crate::error::{Error, Result};

type Answer = Arc<dyn Fn(http::Request<Body>) -> BoxFuture<'static, Response> + Send + Sync>;

/// A service that answers as a server would. Cheap to clone.
#[derive(Clone)]
pub struct InProcess {
    answer: Answer,
    /// Builds requests and sends none.
    http: reqwest::Client,
}

/// Where the requests of one client go, and what each of them carries.
#[derive(Clone)]
pub(crate) struct Destination {
    answer: Answer,
    headers: HeaderMap,
    extensions: Extensions,
}

impl InProcess {
    /// Requests are answered by clones of `service`.
    ///
    /// # Errors
    /// `Error::Config` where HTTP cannot be set up.
    pub fn new<S, B>(service: S) -> Result<Self>
    where
        S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let answer = move |request| {
            let service = service.clone();
            async move {
                let Ok(response) = service.oneshot(request).await;
                Response::from(response.map(|body| Body::wrap_stream(BodyDataStream::new(body))))
            }
            .boxed()
        };
        // It only makes requests; no certificate is ever looked at.
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .build()
            .map_err(|error| Error::Config(format!("cannot set up HTTP: {error}")))?;
        Ok(Self {
            answer: Arc::new(answer),
            http,
        })
    }

    /// A client with an API key, for which the server is at `url`. Each of its requests carries
    /// `headers` and `extensions` too.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn client(
        &self,
        url: &str,
        key: &str,
        mut headers: HeaderMap,
        extensions: Extensions,
    ) -> Result<Client> {
        let base = base_url(url)?;
        let unfit = |_| Error::Config("the API key holds characters no key has".into());
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}")).map_err(unfit)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization.clone());
        // The address of a request is its host; HTTP/1 has both.
        if let Ok(host) = HeaderValue::from_str(base.authority()) {
            headers.insert(HOST, host);
        }
        let destination = Destination {
            answer: Arc::clone(&self.answer),
            headers,
            extensions,
        };
        let http = self.http.clone();
        Ok(Client::assembled(
            http,
            base,
            authorization,
            Some(destination),
        ))
    }
}

impl Destination {
    pub(crate) async fn answer(&self, request: reqwest::Request) -> reqwest::Result<Response> {
        let mut request = http::Request::<Body>::try_from(request)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        request.extensions_mut().extend(self.extensions.clone());
        Ok((self.answer)(request).await)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").finish_non_exhaustive()
    }
}
