//! Network mode `open`: a link from a sandbox's network namespace to this machine, and NAT behind it.
//!
//! Each sandbox gets a /30 of its own by its slot, and a veth pair that is born with one end inside.
//! One set of firewall rules serves all of them: sandboxes reach the outside and nothing else, not
//! this machine, not each other, not link-local addresses (where clouds keep their metadata).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::netns::on_own_thread;
use super::slots::Slot;

/// 10.213.0.0/16: 16,384 networks of four addresses, as many as there are slots.
const FIRST: u32 = u32::from_be_bytes([10, 213, 0, 0]);
const INSIDE: &str = "eth0";

/// Replaced whole, so that applying it again, or by another server, changes nothing.
const RULES: &str = r#"
table inet pinfold
delete table inet pinfold
table inet pinfold {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "pfsb*" oifname "pfsb*" drop
    iifname "pfsb*" meta nfproto ipv6 drop
    iifname "pfsb*" ip saddr != 10.213.0.0/16 drop
    iifname "pfsb*" ip daddr 169.254.0.0/16 drop
    oifname "pfsb*" ct state established,related accept
    oifname "pfsb*" drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "pfsb*" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.213.0.0/16 oifname != "pfsb*" masquerade
  }
}
"#;

/// The machine's side of all links; its rules are applied with the first one.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    ready: Mutex<bool>,
}

/// Why this host cannot offer the mode, in words for the operator; or a step that failed.
#[derive(Debug)]
pub(super) enum UplinkError {
    Unsupported(String),
    Failed(io::Error),
}

impl Uplink {
    /// Links the namespace to this machine. Blocks for some milliseconds.
    pub(super) fn plug(&self, net: &OwnedFd, slot: Slot) -> Result<(), UplinkError> {
        self.prepare()?;
        on_own_thread(|| plug(net, slot)).map_err(UplinkError::Failed)
    }

    fn prepare(&self) -> Result<(), UplinkError> {
        let mut ready = self
            .ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*ready {
            apply_rules()?;
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(UplinkError::Failed)?;
            *ready = true;
        }
        Ok(())
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
    format!("pfsb{}", slot.number())
}

fn apply_rules() -> Result<(), UplinkError> {
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
    let mut rules = nft.stdin.take().expect("stdin is piped");
    let written = io::Write::write_all(&mut rules, RULES.as_bytes());
    drop(rules);
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
fn plug(net: &OwnedFd, slot: Slot) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let network = FIRST + slot.number() * 4;
    let (outside, inside) = (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2));
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
