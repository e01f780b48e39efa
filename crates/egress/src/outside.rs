//! The way out, shared by all sandboxes: resolving a name and dialing what a policy lets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use pinfold_model::NetworkPolicy;
use pinfold_model::network::{HostName, Refusal};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::NoWay;

/// For one address; a name with several gets it for each.
const DIAL: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Each connection takes up to four descriptors, and the server needs others.
const SHARE_OF_DESCRIPTORS: u64 = 8;
/// One sandbox's share of all connections at once.
const SHARE_OF_CONNECTIONS: usize = 8;
const CONNECTIONS_MIN: usize = 16;
/// However many the machine could have; more wait to be taken.
const EACH_MAX: usize = 512;

/// What this machine reaches, for every sandbox's [`Egress`](crate::Egress).
#[derive(Debug, Clone)]
pub struct Outside(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    resolver: TokioResolver,
    /// Connections that one sandbox may have at once.
    each: usize,
    connections: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
#[error("this machine's name servers are not known: {0}; name some with --name-server")]
pub struct OutsideError(#[source] NetError);

/// Why there is no answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// There is no such name.
    NoName,
    /// The name has nothing of that kind.
    Nothing,
    /// Nobody could say.
    Failed,
}

impl Outside {
    /// Asks these name servers, or where there are none those of this machine.
    pub fn new(name_servers: &[SocketAddr]) -> Result<Self, OutsideError> {
        let resolver = if name_servers.is_empty() {
            Resolver::builder_tokio()
        } else {
            let servers = name_servers.iter().map(|server| name_server(*server));
            let config = ResolverConfig::from_parts(None, vec![], servers.collect());
            let provider = TokioRuntimeProvider::default();
            Ok(Resolver::builder_with_config(config, provider))
        };
        let resolver = resolver.and_then(|mut builder| {
            // Many names have more addresses of IPv6 than are tried, where nothing of it is reached.
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = descriptors.unwrap_or(u64::MAX) / SHARE_OF_DESCRIPTORS;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(Self(Arc::new(Inner {
            resolver: resolver.map_err(OutsideError)?,
            each: (most / SHARE_OF_CONNECTIONS).clamp(CONNECTIONS_MIN, EACH_MAX),
            connections: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
        })))
    }

    /// How many connections one sandbox may have at once.
    pub(crate) fn connections_of_each(&self) -> usize {
        self.0.each
    }

    /// One more connection, among those of all sandboxes.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.connections).try_acquire_owned().ok()
    }

    pub(crate) async fn addresses(&self, name: &HostName) -> Result<Vec<IpAddr>, NoAnswer> {
        let found = self.0.resolver.lookup_ip(format!("{name}.")).await;
        let addresses: Vec<_> = found.map_err(|error| no_answer(&error))?.iter().collect();
        match addresses.is_empty() {
            true => Err(NoAnswer::Nothing),
            false => Ok(addresses),
        }
    }

    pub(crate) async fn records(
        &self,
        name: &HostName,
        kind: RecordType,
    ) -> Result<Vec<Record>, NoAnswer> {
        let found = self.0.resolver.lookup(format!("{name}."), kind).await;
        let found = found.map_err(|error| no_answer(&error))?;
        Ok(found.answers().to_vec())
    }

    /// Connects to what the name leads to now, as far as the policy lets it.
    pub(crate) async fn dial_name(
        &self,
        name: &HostName,
        port: u16,
        policy: &NetworkPolicy,
    ) -> Result<TcpStream, NoWay> {
        let addresses = self.addresses(name).await.map_err(|why| {
            NoWay::Unreachable(match why {
                NoAnswer::NoName => format!("there is no name {name}"),
                NoAnswer::Nothing => format!("{name} has no address"),
                NoAnswer::Failed => format!("no name server answered for {name}"),
            })
        })?;
        let mut last = None;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match policy.check_answer(address, port) {
                Err(why) => last = Some(NoWay::refused(name, why)),
                Ok(()) => match dial(address, port).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = Some(error),
                },
            }
        }
        Err(last.unwrap_or_else(|| NoWay::refused(name, Refusal::NotAllowed)))
    }

    /// Connects to an address that the policy allows by itself.
    pub(crate) async fn dial_address(
        &self,
        address: IpAddr,
        port: u16,
        policy: &NetworkPolicy,
    ) -> Result<TcpStream, NoWay> {
        if let Err(why) = policy.check_address(address, port) {
            return Err(NoWay::refused(address, why));
        }
        dial(address, port).await
    }
}

async fn dial(address: IpAddr, port: u16) -> Result<TcpStream, NoWay> {
    if is_own(address).await? {
        return Err(NoWay::refused(address, Refusal::Never));
    }
    let dialed = tokio::time::timeout(DIAL, TcpStream::connect((address, port))).await;
    let stream = match dialed {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(NoWay::unreachable(address, &error)),
        Err(_) => return Err(NoWay::unreachable(address, &io::ErrorKind::TimedOut.into())),
    };
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Whether this machine itself has the address, on a link or by a route.
async fn is_own(address: IpAddr) -> io::Result<bool> {
    let on_a_link = nix::ifaddrs::getifaddrs()?.any(|link| {
        let of_link = link.address.as_ref();
        let four = of_link.and_then(|it| Some(IpAddr::V4(it.as_sockaddr_in()?.ip())));
        let six = of_link.and_then(|it| Some(IpAddr::V6(it.as_sockaddr_in6()?.ip())));
        four.or(six) == Some(address)
    });
    if on_a_link {
        return Ok(true);
    }
    // A route makes it where the kernel begins from.
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Nothing is sent. One without a route has none to us either.
    Ok(match socket.connect((address, 9)).await {
        Ok(()) => socket.local_addr()?.ip() == address,
        Err(_) => false,
    })
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    config.connections = connections;
    config
}

fn no_answer(error: &NetError) -> NoAnswer {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => NoAnswer::NoName,
            ResponseCode::NoError => NoAnswer::Nothing,
            _ => NoAnswer::Failed,
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => NoAnswer::NoName,
        error => {
            tracing::debug!(%error, "no answer from the name servers");
            NoAnswer::Failed
        }
    }
}
