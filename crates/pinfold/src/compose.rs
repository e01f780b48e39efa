//! The parts an engine is made of, put together for each way of running it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use pinfold_engine::{Databases, Engine, EngineConfig, Parts, SystemClock};
use pinfold_images::LayerStore;
use pinfold_runtime::driver::Driver;
use pinfold_runtime::journal::Journals;
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver, Subnet};
use pinfold_store::{Blobs, Store};

use crate::paths::{DataDir, machine_dir};
use crate::planning::Planning;

/// The driver of one server or run. `instance` keeps its cgroups apart from others'.
pub(crate) fn namespace_driver(
    directory: PathBuf,
    instance: String,
    disks: Disks,
    subnet: Subnet,
) -> Result<NamespaceDriver> {
    let config = Config {
        directory,
        machine_directory: machine_dir()?,
        instance,
        disks,
    };
    NamespaceDriver::open_on(config, subnet).context("cannot make sandboxes here")
}

/// Disks that outlive a sandbox's processes, taking at most most of what the data directory has
/// room for now.
pub(crate) fn kept_disks(data: &DataDir) -> Result<Disks> {
    let stat = rustix::fs::statvfs(data.path()).context("cannot look at the data directory")?;
    Ok(Disks::Pool {
        size_bytes: stat.f_bavail * stat.f_frsize / 10 * 8,
    })
}

/// The installation's database: PostgreSQL where a URL is given, else SQLite in the data directory.
pub(crate) async fn open_store(data: &DataDir, database: Option<&str>) -> Result<Store> {
    match database {
        None => {
            let path = data.database();
            let opened = Store::open_sqlite(&path).await;
            opened.with_context(|| format!("cannot open the database {}", path.display()))
        }
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            // The URL may hold a password, so it is not repeated.
            Store::connect_postgres(url)
                .await
                .context("cannot open the PostgreSQL database")
        }
        Some(_) => bail!("--database takes a URL such as postgres://USER@HOST/DATABASE"),
    }
}

/// The unpacked layers in that directory.
pub(crate) fn layers(directory: &Path) -> Result<LayerStore> {
    LayerStore::open(directory)
        .with_context(|| format!("cannot use the layer store {}", directory.display()))
}

pub(crate) fn parts(
    store: Store,
    driver: Arc<dyn Driver>,
    layers: LayerStore,
    journals: &Path,
    blobs: Blobs,
    axons: &Path,
) -> Result<Parts> {
    let journals = Journals::open(journals)
        .with_context(|| format!("cannot use the journals in {}", journals.display()))?;
    let databases = Databases::open(axons)
        .with_context(|| format!("cannot use the databases in {}", axons.display()))?;
    Ok(Parts {
        store,
        driver,
        layers,
        journals,
        blobs,
        databases,
        clock: Arc::new(SystemClock),
    })
}

/// The engine of an installation without its sandboxes, for what needs none. It starts no
/// reconciler: those are the server's.
pub(crate) async fn offline_engine(
    data: &DataDir,
    database: Option<&str>,
    config: EngineConfig,
) -> Result<Engine> {
    data.make()?;
    let store = open_store(data, database).await?;
    let driver = Arc::new(Planning::deaf());
    let blobs = Blobs::directory(&data.objects())?;
    let parts = parts(
        store,
        driver,
        layers(&data.layers())?,
        &data.journals(),
        blobs,
        &data.axons(),
    )?;
    Ok(Engine::open(config, parts).await?)
}
