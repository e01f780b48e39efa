//! What an engine is made of: settings of the operator and the parts it composes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pinfold_images::{CredentialFile, LayerStore};
use pinfold_model::SshGateway;
use pinfold_runtime::driver::Driver;
use pinfold_runtime::journal::Journals;
use pinfold_store::{Blobs, Store};

use crate::axons::Databases;
use crate::clock::Clock;
use crate::secrets::SecretsKey;

/// Settings. The defaults suit a server; [`EngineConfig::embedded`] suits one process of its own.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What a sandbox boots from when neither a template nor an image is named.
    pub default_image: String,
    /// Whether an image that is missing is pulled when a sandbox or template wants it.
    pub pull: PullPolicy,
    /// What is shown to registries for callers who bring no credentials of their own: every project
    /// may pull with them.
    pub registry_credentials: CredentialFile,
    /// Registries, as `host` or `host:port`, that are spoken to over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// Whether a request may make directories of this machine visible inside.
    pub host_mounts: HostMounts,
    /// Whether sandboxes end with this process.
    pub lifetime: Lifetime,
    /// How long the output of a destroyed sandbox's commands stays readable.
    pub journal_retention: Duration,
    /// How often running sandboxes are metered: what a crash may lose of the figures.
    pub metering_every: Duration,
    /// How often eventual truths are checked (orphans, old journals and idempotency keys, layers).
    pub reconcile_every: Duration,
    /// Between TERM and KILL when a sandbox stops.
    pub stop_grace: Duration,
    /// How long a guest may take to answer before its sandbox counts as lost.
    pub attach_timeout: Duration,
    /// Sandboxes that are booted before anybody asks, in all; 0: none.
    pub warm_sandboxes: usize,
    /// Active previews that one sandbox may have.
    pub previews_per_sandbox: u32,
    /// Who is asked for the names that sandboxes with a network policy may reach; none: the name
    /// servers of this machine.
    pub name_servers: Vec<SocketAddr>,
    /// What secrets are sealed under.
    pub secrets_key: SecretsKey,
    /// Where SSH clients reach this installation; `None`: nowhere.
    pub ssh: Option<SshGateway>,
}

/// Whether missing images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// From the registry that the image's name means.
    Missing,
    /// Only when an admin asks for it.
    Never,
}

/// Whether callers may ask for host mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostMounts {
    Refused,
    Allowed,
}

/// What a sandbox's life is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Sandboxes live on without this process and are found again at the next start.
    Durable,
    /// Sandboxes end when this process ends, however it ends.
    WithProcess,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            default_image: "host".to_owned(),
            pull: PullPolicy::Never,
            registry_credentials: CredentialFile::default(),
            insecure_registries: Vec::new(),
            host_mounts: HostMounts::Refused,
            lifetime: Lifetime::Durable,
            journal_retention: Duration::from_secs(7 * 24 * 3600),
            metering_every: Duration::from_secs(60),
            reconcile_every: Duration::from_secs(600),
            stop_grace: Duration::from_secs(5),
            attach_timeout: Duration::from_secs(10),
            warm_sandboxes: 0,
            previews_per_sandbox: 100,
            name_servers: Vec::new(),
            secrets_key: SecretsKey::Absent,
            ssh: None,
        }
    }
}

impl EngineConfig {
    /// One process on its own: host mounts are allowed and nothing outlives the process.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            host_mounts: HostMounts::Allowed,
            lifetime: Lifetime::WithProcess,
            ..Self::default()
        }
    }
}

/// What the engine composes. Everything that touches the machine is behind one of these.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub driver: Arc<dyn Driver>,
    pub layers: LayerStore,
    pub journals: Journals,
    /// Where the content of objects is kept.
    pub blobs: Blobs,
    /// Where the databases of axons are kept.
    pub databases: Databases,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
