//! Network mode `open`: a link from a sandbox's network namespace to this machine, and NAT behind it.
//!
//! Each sandbox gets a /30 of its own by its slot, and a veth pair that is born with one end inside.
//! One set of firewall rules serves all of them: sandboxes reach the outside and nothing else, not
//! this machine, not each other, not the addresses where clouds keep their metadata: link-local ones,
//! 100.100.100.200, and 168.63.129.16 (which is a name server as well: its port 53 stays).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::links::{INSIDE, index_of, up};
use super::netns::on_own_thread;
use super::nft;
use super::slots::Slot;
use super::subnet::{LINKS, Subnet};

/// Complete, so that applying it again changes nothing; what other servers of this machine have
/// added to the set stays.
fn rules(subnet: Subnet) -> String {
    format!(
        r#"
add table inet pinfold
add set inet pinfold sandboxes {{ type ipv4_addr; flags interval; auto-merge; }}
add element inet pinfold sandboxes {{ {subnet} }}
add chain inet pinfold forward {{ type filter hook forward priority filter; policy accept; }}
add chain inet pinfold input {{ type filter hook input priority filter; policy accept; }}
add chain inet pinfold postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain inet pinfold forward
add rule inet pinfold forward iifname "pfsb*" oifname "pfsb*" drop
add rule inet pinfold forward iifname "pfsb*" meta nfproto ipv6 drop
add rule inet pinfold forward iifname "pfsb*" ip saddr != @sandboxes drop
add rule inet pinfold forward iifname "pfsb*" ip daddr {{ 169.254.0.0/16, 100.100.100.200 }} drop
add rule inet pinfold forward iifname "pfsb*" ip daddr 168.63.129.16 tcp dport != 53 drop
add rule inet pinfold forward oifname "pfsb*" ct state established,related accept
add rule inet pinfold forward oifname "pfsb*" drop
flush chain inet pinfold input
add rule inet pinfold input iifname "pfsb*" drop
flush chain inet pinfold postrouting
add rule inet pinfold postrouting ip saddr @sandboxes oifname != "pfsb*" masquerade
"#
    )
}

/// The machine's side of all links; its rules are applied with the first one.
#[derive(Debug)]
pub(super) struct Uplink {
    subnet: Subnet,
    ready: Mutex<bool>,
}

impl Uplink {
    pub(super) fn new(subnet: Subnet) -> Self {
        Self {
            subnet,
            ready: Mutex::new(false),
        }
    }

    /// Links the namespace to this machine. Blocks for some milliseconds. The error is of kind
    /// `Unsupported` where this host cannot offer it, in words for the operator.
    pub(super) fn plug(&self, net: &OwnedFd, slot: Slot) -> io::Result<()> {
        self.prepare()?;
        on_own_thread(|| plug(net, slot, self.subnet))
    }

    fn prepare(&self) -> io::Result<()> {
        let mut ready = self
            .ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*ready {
            self.check_routes()?;
            nft::apply(&rules(self.subnet))?;
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            *ready = true;
        }
        Ok(())
    }

    /// Sandboxes would take those addresses away from whoever has them now.
    fn check_routes(&self) -> io::Result<()> {
        match self.subnet.taken()? {
            None => Ok(()),
            Some(route) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the sandboxes' network {} overlaps this machine's route {route}: choose \
                     another with --network-subnet",
                    self.subnet
                ),
            )),
        }
    }
}

/// Removes a slot's link. The kernel does so too when it takes the sandbox's end apart, at leisure;
/// the slot's next user needs the name now.
pub(super) fn unplug(slot: Slot) -> io::Result<()> {
    on_own_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            if let Some(index) = index_of(&handle, &name(slot)).await? {
                let deleted = handle.link().del(index).execute().await;
                // It may have gone by itself since.
                if deleted.is_err() && index_of(&handle, &name(slot)).await?.is_some() {
                    return Err(io::Error::other("the link is still there"));
                }
            }
            connection.abort();
            Ok(())
        })
    })
}

fn name(slot: Slot) -> String {
    format!("{LINKS}{}", slot.number())
}

/// Runs on a thread of its own, which ends inside the sandbox's network namespace.
fn plug(net: &OwnedFd, slot: Slot, subnet: Subnet) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (outside, inside) = subnet.ends(slot);
    let name = name(slot);
    runtime.block_on(make_pair(net, &name, outside))?;
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "1")?;
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(net.as_fd(), Some(kind))?;
    runtime.block_on(set_up_inside(inside, outside))
}

async fn make_pair(net: &OwnedFd, name: &str, address: Ipv4Addr) -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(INSIDE.to_owned())
        .setns_by_fd(net.as_fd().as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(name.to_owned())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    handle
        .link()
        .add(pair)
        .execute()
        .await
        .map_err(io::Error::other)?;
    let index = up(&handle, name).await?;
    handle
        .address()
        .add(index, address.into(), 30)
        .execute()
        .await
        .map_err(io::Error::other)?;
    connection.abort();
    Ok(())
}

async fn set_up_inside(address: Ipv4Addr, gateway: Ipv4Addr) -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let index = up(&handle, INSIDE).await?;
    handle
        .address()
        .add(index, address.into(), 30)
        .execute()
        .await
        .map_err(io::Error::other)?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .build();
    handle
        .route()
        .add(route)
        .execute()
        .await
        .map_err(io::Error::other)?;
    connection.abort();
    Ok(())
}
