//! Network mode `open`: a link from a sandbox's network namespace to this machine, and NAT behind it.
//!
//! Each sandbox gets a /30 of its own by its slot, and a veth pair that is born with one end inside.
//! One set of firewall rules serves all of them: sandboxes reach the outside and nothing else, not
//! this machine, not each other, not the addresses where clouds keep their metadata: link-local ones,
//! 100.100.100.200, and 168.63.129.16 (which is a name server as well: its port 53 stays).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::netns::on_own_thread;
use super::slots::Slot;
use super::subnet::{LINKS, Subnet};

const INSIDE: &str = "eth0";

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

/// Why this host cannot offer the mode, in words for the operator; or a step that failed.
#[derive(Debug)]
pub(super) enum UplinkError {
    Unsupported(String),
    Failed(io::Error),
}

impl Uplink {
    pub(super) fn new(subnet: Subnet) -> Self {
        Self {
            subnet,
            ready: Mutex::new(false),
        }
    }

    /// Links the namespace to this machine. Blocks for some milliseconds.
    pub(super) fn plug(&self, net: &OwnedFd, slot: Slot) -> Result<(), UplinkError> {
        self.prepare()?;
        on_own_thread(|| plug(net, slot, self.subnet)).map_err(UplinkError::Failed)
    }

    fn prepare(&self) -> Result<(), UplinkError> {
        let mut ready = self
            .ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*ready {
            self.check_routes()?;
            apply_rules(self.subnet)?;
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(UplinkError::Failed)?;
            *ready = true;
        }
        Ok(())
    }
}

impl Uplink {
    /// Sandboxes would take those addresses away from whoever has them now.
    fn check_routes(&self) -> Result<(), UplinkError> {
        match self.subnet.taken().map_err(UplinkError::Failed)? {
            None => Ok(()),
            Some(route) => Err(UplinkError::Unsupported(format!(
                "the sandboxes' network {} overlaps this machine's route {route}: choose another \
                 with --network-subnet",
                self.subnet
            ))),
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
            if let Ok(index) = index_of(&handle, &name(slot)).await {
                // It may have gone by itself since.
                let _ = handle.link().del(index).execute().await;
            }
            connection.abort();
            Ok(())
        })
    })
}

fn name(slot: Slot) -> String {
    format!("{LINKS}{}", slot.number())
}

fn apply_rules(subnet: Subnet) -> Result<(), UplinkError> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            UplinkError::Unsupported(format!(
                "network \"open\" needs the program nft (package nftables) on this host: {error}"
            ))
        })?;
    let mut input = nft.stdin.take().expect("stdin is piped");
    let written = io::Write::write_all(&mut input, rules(subnet).as_bytes());
    drop(input);
    let output = nft.wait_with_output().map_err(UplinkError::Failed)?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let first = words.lines().next().unwrap_or("no message").to_owned();
    Err(UplinkError::Unsupported(format!(
        "this host refuses the firewall rules: {first}"
    )))
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
        .up()
        .build();
    handle
        .link()
        .add(pair)
        .execute()
        .await
        .map_err(io::Error::other)?;
    let index = index_of(&handle, name).await?;
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
    let index = index_of(&handle, INSIDE).await?;
    let up = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(io::Error::other)?;
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

async fn index_of(handle: &rtnetlink::Handle, name: &str) -> io::Result<u32> {
    use futures::TryStreamExt;
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await.map_err(io::Error::other)? {
        Some(link) => Ok(link.header.index),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no link {name}"),
        )),
    }
}
