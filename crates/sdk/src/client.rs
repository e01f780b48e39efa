//! The client: where the server is, which key to use.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::access::{Keys, Projects};
use crate::builds::Builds;
use crate::code::Code;
use crate::commands::Commands;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::images::Images;
use crate::in_process::Destination;
use crate::network_policies::NetworkPolicies;
use crate::objects::Objects;
use crate::pipelines::Pipelines;
use crate::previews::Previews;
use crate::sandboxes::Sandboxes;
use crate::secrets::Secrets;
use crate::ssh_keys::SshKeys;
use crate::templates::Templates;
use crate::usage::{Audit, UsageReports};

const DEFAULT_URL: &str = "http://127.0.0.1:7070";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the server's own bound on idle connections, so that none is used as it closes.
const IDLE_CONNECTIONS_KEPT: Duration = Duration::from_secs(20);
/// Finds a server that vanished without a word while a long answer is awaited.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A client of one server with one key. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    /// Ends in a slash.
    pub(crate) base: Url,
    /// For connections that reqwest does not make (WebSocket).
    pub(crate) authorization: HeaderValue,
    /// Where requests go when that is not over the network.
    pub(crate) destination: Option<Destination>,
}

impl Client {
    /// A client of the server at `url` (`http://HOST:PORT` or `https://...`, any path prefix kept)
    /// with an API key.
    ///
    /// # Errors
    /// `Error::Config` where the URL is not one or the key cannot be in a header.
    pub fn new(url: &str, key: &str) -> Result<Self> {
        let base = base_url(url)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| Error::Config("the API key holds characters no key has".into()))?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.clone())]);
        let mut builder = reqwest::Client::builder();
        if base.scheme() == "http" && is_loopback(&base) {
            // Nothing is asked over TLS then: there are no redirects. Reading the machine's hundreds
            // of certificates takes longer than a command, and there may be none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .default_headers(headers)
            .user_agent(concat!("pinfold-sdk-rust/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_CONNECTIONS_KEPT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_nodelay(true)
            // A redirect would carry the key elsewhere; the API has none.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Config(format!("cannot set up HTTP: {error}")))?;
        Ok(Self::assembled(http, base, authorization, None))
    }

    pub(crate) fn assembled(
        http: reqwest::Client,
        base: Url,
        authorization: HeaderValue,
        destination: Option<Destination>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                http,
                base,
                authorization,
                destination,
            }),
        }
    }

    /// From `PINFOLD_URL` (default `http://127.0.0.1:7070`) and `PINFOLD_API_KEY`.
    ///
    /// # Errors
    /// `Error::Config` where the key is not set, or as [`Client::new`].
    pub fn from_env() -> Result<Self> {
        let url = std::env::var("PINFOLD_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
        let key = std::env::var("PINFOLD_API_KEY").map_err(|_| {
            Error::Config(
                "PINFOLD_API_KEY is not set: use the secret that `pinfold keys create` prints, or \
                 the one in admin.key of the server's data directory"
                    .into(),
            )
        })?;
        Self::new(&url, &key)
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.inner.base.as_str().trim_end_matches('/')
    }

    #[must_use]
    pub fn sandboxes(&self) -> Sandboxes {
        Sandboxes::new(self.clone())
    }

    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands::new(self.clone())
    }

    /// Code contexts and runs of code.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::new(self.clone())
    }

    /// The files of one sandbox.
    #[must_use]
    pub fn files(&self, sandbox_id: &str) -> Files {
        Files::new(self.clone(), sandbox_id)
    }

    #[must_use]
    pub fn images(&self) -> Images {
        Images::new(self.clone())
    }

    #[must_use]
    pub fn previews(&self) -> Previews {
        Previews::new(self.clone())
    }

    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects::new(self.clone())
    }

    /// Images made from Dockerfiles.
    #[must_use]
    pub fn builds(&self) -> Builds {
        Builds::new(self.clone())
    }

    /// Runs of markdown pipelines.
    #[must_use]
    pub fn pipelines(&self) -> Pipelines {
        Pipelines::new(self.clone())
    }

    #[must_use]
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.clone())
    }

    /// Rules that sandboxes follow.
    #[must_use]
    pub fn network_policies(&self) -> NetworkPolicies {
        NetworkPolicies::new(self.clone())
    }

    #[must_use]
    pub fn ssh_keys(&self) -> SshKeys {
        SshKeys::new(self.clone())
    }

    #[must_use]
    pub fn templates(&self) -> Templates {
        Templates::new(self.clone())
    }

    #[must_use]
    pub fn projects(&self) -> Projects {
        Projects::new(self.clone())
    }

    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(self.clone())
    }

    #[must_use]
    pub fn usage(&self) -> UsageReports {
        UsageReports::new(self.clone())
    }

    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::new(self.clone())
    }
}

pub(crate) fn base_url(text: &str) -> Result<Url> {
    let wrong = |why: &str| Error::Config(format!("{text:?} is not a server's URL: {why}"));
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(
            "it must begin with http:// or https:// and name a host",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Whether requests stay on this machine.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_taken_for_such() {
        for (url, is) in [
            ("http://127.0.0.1:7070", true),
            ("http://localhost", true),
            ("http://[::1]:7070/x", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
            ("http://[2001:db8::1]", false),
        ] {
            let url = base_url(url).expect("a URL");
            assert_eq!(is_loopback(&url), is, "{url}");
        }
    }

    #[test]
    fn urls_keep_their_prefix_and_other_texts_are_refused() {
        let client = Client::new("https://a.example/pinfold", "k").expect("valid");
        assert_eq!(client.url(), "https://a.example/pinfold");
        for text in ["", "127.0.0.1:7070", "ftp://x", "unix:/x"] {
            assert!(
                matches!(Client::new(text, "k"), Err(Error::Config(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn the_key_is_not_in_the_debug_form() {
        let client = Client::new("http://x", "s3cret").expect("valid");
        assert!(!format!("{client:?}").contains("s3cret"));
    }
}
