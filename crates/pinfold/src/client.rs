//! The way to a server: its address, a key for it, and things by name.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::TryStreamExt;
use pinfold_model::SandboxId;
use pinfold_sdk::{Client, ListSandboxes, Sandbox};
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::paths::DataDir;

const DEFAULT_URL: &str = "http://127.0.0.1:7070";
const KEY_VARIABLE: &str = "PINFOLD_API_KEY";
/// For a server that is only asked whether it is there.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Fits every notice that a server writes.
const NOTICE_MAX_BYTES: u64 = 4096;

/// What a server writes into its lock file: who holds it, and where it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) pid: u32,
    pub(crate) url: Option<String>,
}

impl Notice {
    /// The notice of the server that serves or last served this data directory.
    pub(crate) fn read(lock: &Path) -> Option<Self> {
        let file = std::fs::File::open(lock).ok()?;
        let mut text = Vec::new();
        file.take(NOTICE_MAX_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// A client of the server that the options, the environment or the data directory name.
pub(crate) fn connect(global: &Global) -> Result<Client> {
    let data = DataDir::locate(global.data_dir.as_deref());
    let url = url(global, data.as_ref().ok());
    let key = match std::env::var(KEY_VARIABLE) {
        Ok(key) => key,
        Err(std::env::VarError::NotUnicode(_)) => bail!("{KEY_VARIABLE} is not UTF-8"),
        Err(std::env::VarError::NotPresent) => admin_key(&url, data.ok().as_ref())?,
    };
    Ok(Client::new(&url, key.trim())?)
}

fn url(global: &Global, data: Option<&DataDir>) -> String {
    let announced = || Notice::read(&data?.server_lock())?.url;
    global
        .url
        .clone()
        .or_else(announced)
        .unwrap_or_else(|| DEFAULT_URL.to_owned())
}

/// The key that the server's first start left in the data directory. It belongs to a server of
/// this machine, so it is sent nowhere else.
fn admin_key(url: &str, data: Option<&DataDir>) -> Result<String> {
    let missing = || {
        anyhow!(
            "{KEY_VARIABLE} is not set: use the secret that `pinfold keys create` printed, or the \
             one in admin.key of the server's data directory"
        )
    };
    if !is_local(url) {
        return Err(missing());
    }
    let path = data.ok_or_else(missing)?.admin_key();
    match std::fs::read_to_string(&path) {
        Ok(key) => Ok(key),
        // Without a server there is no key either, and that is what has to be said then.
        Err(_) if nobody_listens(url) => Err(not_running(url)),
        Err(_) => Err(missing()),
    }
}

pub(crate) fn not_running(url: &str) -> anyhow::Error {
    anyhow!(
        "no Pinfold server answers at {url}: start one with `pinfold serve`, or set PINFOLD_URL to \
         where one runs"
    )
}

fn nobody_listens(url: &str) -> bool {
    let Some(authority) = authority(url) else {
        return false;
    };
    let address = if authority.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    std::net::TcpStream::connect(address).is_err()
}

fn is_local(url: &str) -> bool {
    let Some(authority) = authority(url) else {
        return false;
    };
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// `HOST[:PORT]` of a plain URL; user names and passwords in one are not for us.
fn authority(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.is_empty() && !authority.contains('@')).then_some(authority)
}

/// Whether work on the data directory itself may stand in for a server that does not run: not if
/// the caller named a server.
pub(crate) fn may_work_offline(global: &Global, error: &pinfold_sdk::Error) -> bool {
    global.url.is_none() && matches!(error, pinfold_sdk::Error::Connect { .. })
}

/// Whether a server answers; `false` if none does and the caller named none.
pub(crate) async fn is_served(global: &Global) -> Result<bool> {
    match anonymous(global)?.health().await {
        Ok(_) => Ok(true),
        Err(error) if may_work_offline(global, &error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The version of the server, if one answers at once.
pub(crate) async fn server_version(global: &Global) -> Result<Option<String>> {
    let health = anonymous(global)?.health_now(ANSWER_PATIENCE).await;
    Ok(health.ok().map(|health| health.version))
}

/// A client without a key, for what needs none.
fn anonymous(global: &Global) -> Result<Client> {
    let data = DataDir::locate(global.data_dir.as_deref());
    Ok(Client::new(&url(global, data.as_ref().ok()), "none")?)
}

/// A sandbox by id, or by a name that only one has: of the live ones, else of the ended ones.
pub(crate) async fn sandbox(client: &Client, name: &str) -> Result<Sandbox> {
    if name.parse::<SandboxId>().is_ok() {
        return Ok(client.sandboxes().get(name).await?);
    }
    let live = named(client, name, None).await?;
    let found = if live.is_empty() {
        named(client, name, Some(true)).await?
    } else {
        live
    };
    match <[Sandbox; 1]>::try_from(found) {
        Ok([sandbox]) => Ok(sandbox),
        Err(none) if none.is_empty() => bail!("no sandbox is named {name:?}"),
        Err(several) => {
            let ids: Vec<_> = several.into_iter().map(|sandbox| sandbox.id).collect();
            bail!(
                "{} sandboxes are named {name:?}; use an id: {}",
                ids.len(),
                ids.join(", ")
            )
        }
    }
}

async fn named(client: &Client, name: &str, ended: Option<bool>) -> Result<Vec<Sandbox>> {
    let query = ListSandboxes {
        include_ended: ended,
        ..ListSandboxes::default()
    };
    let all = client.sandboxes().all(query);
    let named = all.try_filter(|sandbox| std::future::ready(sandbox.name.as_deref() == Some(name)));
    named
        .try_collect()
        .await
        .context("cannot look for the sandbox by its name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_key_goes_to_this_machine_only() {
        for url in [
            "http://127.0.0.1:7070",
            "http://localhost",
            "https://[::1]:1/x",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "http://example.org",
            "http://127.0.0.1@example.org",
            "http://localhost.example.org",
            "unix:/x",
            "",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
