//! The same API without async: every method runs its namesake on a private current-thread runtime.
//!
//! Must not be used inside an async runtime: blocking there would stall it, and tokio refuses.

mod api;
mod streams;

use std::path::Path;
use std::sync::Arc;

use pinfold_wire::{Health, Isolation, WhoAmI};
use tokio::runtime::Runtime;

use crate::body::Upload;
use crate::error::{Error, Result};

pub use api::{
    Audit, Builds, Code, Commands, Files, Images, Keys, NetworkPolicies, Objects, Pipelines,
    Previews, Projects, Sandboxes, Secrets, SshKeys, Templates, UsageReports,
};
pub use streams::{
    BuildStream, ByteStream, CodeStream, CommandStream, EventStream, Items, PipelineStream, Pty,
    WatchStream,
};

/// Where futures run. Several threads may use it at once: one of them drives the connections, the
/// others wait for what concerns them.
#[derive(Debug, Clone)]
pub(crate) struct Driver(Arc<Runtime>);

impl Driver {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Config(format!("cannot set up a runtime: {error}")))?;
        Ok(Self(Arc::new(runtime)))
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

/// A client of one server with one key. Clones share connections; may be used from any thread.
#[derive(Debug, Clone)]
pub struct Client {
    driver: Driver,
    inner: crate::Client,
}

impl Client {
    /// As [`crate::Client::new`].
    ///
    /// # Errors
    /// `Error::Config` where the URL is not one or the key cannot be in a header.
    pub fn new(url: &str, key: &str) -> Result<Self> {
        Self::over(crate::Client::new(url, key)?)
    }

    /// From `PINFOLD_URL` and `PINFOLD_API_KEY`, as [`crate::Client::from_env`].
    ///
    /// # Errors
    /// `Error::Config` where the key is not set.
    pub fn from_env() -> Result<Self> {
        Self::over(crate::Client::from_env()?)
    }

    fn over(inner: crate::Client) -> Result<Self> {
        Ok(Self {
            driver: Driver::new()?,
            inner,
        })
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.inner.url()
    }

    /// Answers where the server is ready.
    pub fn health(&self) -> Result<Health> {
        self.driver.run(self.inner.health())
    }

    /// What stands between a sandbox and its host.
    pub fn isolation(&self) -> Result<Isolation> {
        self.driver.run(self.inner.isolation())
    }

    /// Whose key this is.
    pub fn whoami(&self) -> Result<WhoAmI> {
        self.driver.run(self.inner.whoami())
    }

    /// A local file as something to send.
    ///
    /// # Errors
    /// `Error::File` where it cannot be opened.
    pub fn open_upload(&self, path: impl AsRef<Path>) -> Result<Upload> {
        self.driver.run(Upload::file(path))
    }

    #[must_use]
    pub fn sandboxes(&self) -> Sandboxes {
        Sandboxes::new(&self.driver, self.inner.sandboxes())
    }

    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands::new(&self.driver, self.inner.commands())
    }

    /// Code contexts and runs of code.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::new(&self.driver, self.inner.code())
    }

    /// The files of one sandbox.
    #[must_use]
    pub fn files(&self, sandbox_id: &str) -> Files {
        Files::new(&self.driver, self.inner.files(sandbox_id))
    }

    #[must_use]
    pub fn images(&self) -> Images {
        Images::new(&self.driver, self.inner.images())
    }

    #[must_use]
    pub fn previews(&self) -> Previews {
        Previews::new(&self.driver, self.inner.previews())
    }

    #[must_use]
    pub fn objects(&self) -> Objects {
        Objects::new(&self.driver, self.inner.objects())
    }

    /// Images made from Dockerfiles.
    #[must_use]
    pub fn builds(&self) -> Builds {
        Builds::new(&self.driver, self.inner.builds())
    }

    /// Runs of markdown pipelines.
    #[must_use]
    pub fn pipelines(&self) -> Pipelines {
        Pipelines::new(&self.driver, self.inner.pipelines())
    }

    #[must_use]
    pub fn secrets(&self) -> Secrets {
        Secrets::new(&self.driver, self.inner.secrets())
    }

    /// Rules that sandboxes follow.
    #[must_use]
    pub fn network_policies(&self) -> NetworkPolicies {
        NetworkPolicies::new(&self.driver, self.inner.network_policies())
    }

    #[must_use]
    pub fn ssh_keys(&self) -> SshKeys {
        SshKeys::new(&self.driver, self.inner.ssh_keys())
    }

    #[must_use]
    pub fn templates(&self) -> Templates {
        Templates::new(&self.driver, self.inner.templates())
    }

    #[must_use]
    pub fn projects(&self) -> Projects {
        Projects::new(&self.driver, self.inner.projects())
    }

    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(&self.driver, self.inner.keys())
    }

    #[must_use]
    pub fn usage(&self) -> UsageReports {
        UsageReports::new(&self.driver, self.inner.usage())
    }

    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::new(&self.driver, self.inner.audit())
    }
}
