//! `pinfold serve`: from a data directory to a listening server, and back.
//!
//! ```text
//! lock the data directory -> bind -> database -> engine -> first key -> recover -> listen
//! SIGTERM -> no new requests, drain -> engine ends (sandboxes live on) -> 0
//! ```

mod hold;
mod key;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use pinfold_api::{ApiConfig, EngineKeys, MetricsAccess};
use pinfold_engine::{
    CredentialFile, Databases, Drain, Engine, EngineConfig, HostLook, PullPolicy, SecretsKey,
};
use pinfold_http::{Addresses, Authenticate, Rate, RateLimits, ServeLimits};
use pinfold_model::{ExitStatus, SshGateway};
use pinfold_runtime::namespace::Subnet;
use pinfold_store::{Blobs, Store};
use tokio::net::TcpListener;

use crate::compose;
use crate::exit::Ending;
use crate::paths::{DataDir, make_private};
use crate::run::{Signals, clean_leftovers};
use crate::ssh::{self, SshSettings};
use crate::telemetry;

use hold::Hold;

/// What the operator decides.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data: DataDir,
    pub(crate) listen: String,
    pub(crate) database: Option<String>,
    pub(crate) drain: Drain,
    /// Where the content of objects is kept, where not in the data directory.
    pub(crate) objects: Option<String>,
    pub(crate) metrics: MetricsAccess,
    pub(crate) default_image: Option<String>,
    pub(crate) pull: PullPolicy,
    pub(crate) registry_credentials: CredentialFile,
    pub(crate) insecure_registries: Vec<String>,
    pub(crate) bootstrap_key: Option<String>,
    pub(crate) secrets_key: SecretsKey,
    /// Of each key's requests, and of each address's failed attempts.
    pub(crate) rate_limit: Option<Rate>,
    /// Of sandboxes with a network.
    pub(crate) subnet: Subnet,
    /// Who is asked for names in place of this machine's own name servers.
    pub(crate) name_servers: Vec<SocketAddr>,
    pub(crate) addresses: Addresses,
    pub(crate) warm_sandboxes: usize,
    pub(crate) previews_per_sandbox: Option<u32>,
    pub(crate) ssh: SshSettings,
}

/// Serves until told to end.
pub(crate) async fn serve(settings: Settings) -> Result<Ending> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    settings.data.make()?;
    let mut hold = Hold::take(&settings.data)?;
    let listener = bind(&settings.listen).await?;
    let address = listener
        .local_addr()
        .context("cannot tell the listener's address")?;
    let metrics = telemetry::metrics()?;
    // Before SQLite is used for anything else; where it was, axons run no SQL. Only servers run some.
    if let Err(error) = Databases::bound_memory() {
        tracing::error!(%error, "SQL of callers is refused");
    }
    let store = compose::open_store(&settings.data, settings.database.as_deref()).await?;
    let door = ssh::Door::open(&settings.ssh, &settings.data).await?;
    let gateway = door.as_ref().map(ssh::Door::gateway);
    let engine = engine(&settings, store.clone(), &hold, gateway).await?;
    key::first(&engine, &settings).await?;
    engine
        .start()
        .await
        .context("cannot take over what an earlier server left")?;
    let cleaning = tokio::spawn(clean_leftovers(settings.data.runs()));
    let config = ApiConfig {
        metrics_access: settings.metrics,
        ..ApiConfig::new(uploads(&settings.data)?, metrics)
    };
    let authority: Arc<dyn Authenticate> = Arc::new(EngineKeys(engine.clone()));
    let api = pinfold_api::router(engine.clone(), config);
    let mcp = pinfold_mcp::router(api.clone(), Arc::clone(&authority))?;
    let router = api
        .merge(pinfold_dialects::router(&engine, &authority))
        .merge(mcp);
    let router = pinfold_preview::serve_with_previews(
        engine.clone(),
        settings.addresses.clone(),
        pinfold_preview::Limits::default(),
        pinfold_dialects::terminals(&engine),
        router,
    );
    let router = match settings.rate_limit {
        Some(rate) => router.layer(axum::Extension(RateLimits::new(rate))),
        None => router,
    };
    hold.announce(&url(address))
        .context("cannot write to the data directory")?;
    tracing::info!(%address, data = %settings.data.path().display(), "serving");
    let ssh = door.map(|door| door.serve(engine.clone()));
    let forced = until_ended(listener, router, &mut signals).await;
    cleaning.abort();
    if let Some(signal) = forced {
        return Ok(at_once(signal));
    }
    let ended = async {
        if let Some(ssh) = ssh {
            ssh.end().await;
        }
        engine.shutdown(settings.drain).await;
        store.close().await;
    };
    tokio::select! {
        () = ended => {
            tracing::info!("ended");
            Ok(Ending::Done)
        }
        signal = signals.next_ending() => Ok(at_once(signal)),
    }
}

async fn bind(listen: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind(listen).await;
    bound.with_context(|| {
        format!("cannot listen on {listen}; is another server there? Choose with --listen")
    })
}

async fn engine(
    settings: &Settings,
    store: Store,
    hold: &Hold,
    ssh: Option<SshGateway>,
) -> Result<Engine> {
    let data = &settings.data;
    let layers = compose::layers(&data.layers())?;
    // Both take a tenth of a second in a new data directory, and neither needs the other.
    let looking = HostLook::begin(&layers);
    let (directory, instance) = (data.sandboxes(), hold.instance()?);
    let disks = compose::kept_disks(&settings.data)?;
    let subnet = settings.subnet;
    let opening = move || compose::namespace_driver(directory, instance, disks, subnet);
    let driver = tokio::task::spawn_blocking(opening).await??;
    let parts = compose::parts(
        store,
        Arc::new(driver),
        layers,
        &data.journals(),
        blobs(settings).await?,
        &data.axons(),
    )?;
    let defaults = EngineConfig::default();
    let config = EngineConfig {
        default_image: settings
            .default_image
            .clone()
            .unwrap_or(defaults.default_image),
        pull: settings.pull,
        registry_credentials: settings.registry_credentials.clone(),
        insecure_registries: settings.insecure_registries.clone(),
        name_servers: settings.name_servers.clone(),
        warm_sandboxes: settings.warm_sandboxes,
        previews_per_sandbox: settings
            .previews_per_sandbox
            .unwrap_or(defaults.previews_per_sandbox),
        secrets_key: settings.secrets_key.clone(),
        ssh,
        ..defaults
    };
    Ok(Engine::open_looking(config, parts, looking).await?)
}

/// Where the content of objects is kept. A store elsewhere has to answer now: an upload is a bad time
/// to learn that its keys are wrong.
async fn blobs(settings: &Settings) -> Result<Blobs> {
    if let Some(url) = &settings.objects {
        let blobs = Blobs::s3(url)?;
        let answered = blobs.check().await;
        answered.with_context(|| format!("cannot use the object storage {url}"))?;
        return Ok(blobs);
    }
    let directory = settings.data.objects();
    make_private(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(Blobs::directory(&directory)?)
}

/// Empty at each start: what is in it belongs to uploads that a crash cut off.
fn uploads(data: &DataDir) -> Result<PathBuf> {
    let uploads = data.uploads();
    match std::fs::remove_dir_all(&uploads) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot clear {}", uploads.display()));
        }
        _ => {}
    }
    make_private(&uploads).with_context(|| format!("cannot make {}", uploads.display()))?;
    Ok(uploads)
}

/// Serves until a first signal and drains; a second one cuts that short and is returned.
async fn until_ended(
    listener: TcpListener,
    router: axum::Router,
    signals: &mut Signals,
) -> Option<i32> {
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        // A sender that is dropped says the same.
        let _ = begun.await;
    };
    let serving = pinfold_http::serve(listener, router, shutdown, ServeLimits::default());
    tokio::pin!(serving);
    tokio::select! {
        _ = &mut serving => return None,
        signal = signals.next_ending() => tracing::info!(signal, "draining"),
    }
    drop(begin);
    tokio::select! {
        cut = &mut serving => {
            if cut > 0 {
                tracing::warn!(connections = cut, "cut after the time for draining");
            }
            None
        }
        signal = signals.next_ending() => Some(signal),
    }
}

/// Nothing more is waited for.
fn at_once(signal: i32) -> Ending {
    tracing::warn!(signal, "ending at once");
    Ending::Command(ExitStatus::Signal(signal))
}

/// Where clients of this machine find the listener.
fn url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_found_on_loopback() {
        assert_eq!(url(([0, 0, 0, 0], 80).into()), "http://127.0.0.1:80");
        assert_eq!(url(([10, 0, 0, 1], 80).into()), "http://10.0.0.1:80");
        assert_eq!(url("[::]:1".parse().expect("an address")), "http://[::1]:1");
    }
}
