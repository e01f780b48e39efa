//! The SSH gateway of a server: where it listens, and what clients are told.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use clap::Args;
use pinfold_engine::Engine;
use pinfold_model::SshGateway;
use pinfold_ssh::{Gateway, HostKey, Limits};
use tokio::net::TcpListener;

use crate::paths::DataDir;

const DEFAULT: &str = "127.0.0.1:7022";
const OFF: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// Where to listen for SSH, or \"none\" [default: 127.0.0.1:7022, where that is free]
    #[arg(long, value_name = "ADDRESS", env = "PINFOLD_SSH_LISTEN")]
    ssh_listen: Option<String>,

    /// Where SSH clients reach the server [default: where it listens]
    #[arg(long, value_name = "HOST[:PORT]", env = "PINFOLD_SSH_ADDRESS")]
    ssh_address: Option<String>,
}

/// What the operator decides.
#[derive(Debug)]
pub(crate) struct SshSettings {
    listen: Listen,
    /// Host, and port where it is another one than the listener's.
    address: Option<(String, Option<u16>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Listen {
    Off,
    /// Where nobody has decided: a second server of a machine goes without.
    Usual,
    At(String),
}

impl SshArgs {
    pub(crate) fn chosen(self) -> Result<SshSettings> {
        Ok(SshSettings {
            listen: match self.ssh_listen.as_deref() {
                None => Listen::Usual,
                Some(OFF) => Listen::Off,
                Some(address) => Listen::At(address.to_owned()),
            },
            address: self.ssh_address.as_deref().map(address).transpose()?,
        })
    }
}

/// A listener that nobody is served at yet.
pub(crate) struct Door {
    listener: TcpListener,
    key: HostKey,
    gateway: SshGateway,
}

impl Door {
    /// `None` where there is to be no gateway, or where nobody has asked for one and another
    /// program has its usual port.
    pub(crate) async fn open(settings: &SshSettings, data: &DataDir) -> Result<Option<Self>> {
        let bound = match &settings.listen {
            Listen::Off => return Ok(None),
            Listen::Usual => TcpListener::bind(DEFAULT).await,
            Listen::At(address) => TcpListener::bind(address).await,
        };
        let listener = match (bound, &settings.listen) {
            (Ok(listener), _) => listener,
            (Err(error), Listen::At(address)) => {
                return Err(error).with_context(|| format!("cannot listen on {address} for SSH"));
            }
            (Err(error), _) => {
                tracing::warn!(%error, "no SSH gateway at {DEFAULT}; choose with --ssh-listen");
                return Ok(None);
            }
        };
        let address = listener
            .local_addr()
            .context("cannot tell where SSH listens")?;
        let key = HostKey::in_file(&data.ssh_host_key())?;
        let (host, port) = match &settings.address {
            Some((host, port)) => (host.clone(), port.unwrap_or(address.port())),
            None => (reachable(address.ip()), address.port()),
        };
        tracing::info!(%address, fingerprint = key.fingerprint(), "SSH");
        let gateway = SshGateway {
            host,
            port,
            host_key: key.public_key(),
            host_key_fingerprint: key.fingerprint(),
        };
        Ok(Some(Self {
            listener,
            key,
            gateway,
        }))
    }

    /// What clients are told.
    pub(crate) fn gateway(&self) -> SshGateway {
        self.gateway.clone()
    }

    pub(crate) fn serve(self, engine: Engine) -> Gateway {
        Gateway::serve(self.listener, engine, &self.key, Limits::default())
    }
}

/// What listens on every address is told by this machine's name.
fn reachable(ip: IpAddr) -> String {
    if !ip.is_unspecified() {
        return ip.to_string();
    }
    let system = rustix::system::uname();
    match system.nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// `HOST`, `HOST:PORT`, an IPv6 address, or one in brackets with a port.
fn address(text: &str) -> Result<(String, Option<u16>)> {
    let wrong = || format!("--ssh-address takes HOST or HOST:PORT, not {text:?}");
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip.to_string(), None));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((socket.ip().to_string(), Some(socket.port())));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().with_context(wrong)?)),
        None => (text, None),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if host.is_empty() || !host.chars().all(letters) || host.starts_with('-') {
        bail!(wrong());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_clients_are_told_are_hosts_with_or_without_a_port() {
        for (text, host, port) in [
            ("pinfold.example.org", "pinfold.example.org", None),
            ("pinfold.example.org:22", "pinfold.example.org", Some(22)),
            ("10.0.0.1:2222", "10.0.0.1", Some(2222)),
            ("::1", "::1", None),
            ("[::1]:22", "::1", Some(22)),
        ] {
            let found = address(text).expect("valid");
            assert_eq!(found, (host.to_owned(), port), "{text}");
        }
        for bad in [
            "",
            ":22",
            "host:x",
            "host:70000",
            "-oProxyCommand=x",
            "a b",
            "a/b",
            "u@h",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
