//! The options about what stands behind sandboxes' networks.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use pinfold_runtime::namespace::Subnet;

const DNS_PORT: u16 = 53;

#[derive(Debug, Clone, Args)]
pub(crate) struct SubnetArgs {
    /// Private addresses for sandboxes with network open, a /16 [default: 10.213.0.0/16]
    #[arg(long, value_name = "NETWORK", env = "PINFOLD_NETWORK_SUBNET")]
    network_subnet: Option<Subnet>,

    /// Who is asked for the names that network policies allow [default: as this machine does]
    #[arg(
        long,
        value_name = "ADDRESS[:PORT]",
        env = "PINFOLD_NAME_SERVERS",
        value_delimiter = ',',
        value_parser = name_server
    )]
    name_server: Vec<SocketAddr>,
}

impl SubnetArgs {
    pub(crate) fn chosen(&self) -> Subnet {
        self.network_subnet.unwrap_or_default()
    }

    pub(crate) fn name_servers(&self) -> Vec<SocketAddr> {
        self.name_server.clone()
    }
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let at = |address: IpAddr| SocketAddr::new(address, DNS_PORT);
    text.parse()
        .or_else(|_| text.parse().map(at))
        .map_err(|_| format!("{text:?} is no address such as 192.0.2.53 or 192.0.2.53:5353"))
}
