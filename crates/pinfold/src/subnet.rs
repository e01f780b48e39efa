//! The option that chooses the addresses of sandboxes with a network.

use clap::Args;
use pinfold_runtime::namespace::Subnet;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SubnetArgs {
    /// Private addresses for sandboxes with network open, a /16 [default: 10.213.0.0/16]
    #[arg(long, value_name = "NETWORK", env = "PINFOLD_NETWORK_SUBNET")]
    network_subnet: Option<Subnet>,
}

impl SubnetArgs {
    pub(crate) fn chosen(self) -> Subnet {
        self.network_subnet.unwrap_or_default()
    }
}
