//! Network mode `policy`: a network namespace without any way out but two sockets of ours.
//!
//! Nothing links the namespace to this machine. Its `eth0` is one end of a pair whose other end is
//! in there too, so that programs find a default route and an address; the namespace's own firewall
//! turns every TCP connection, and every question to a name server, to our sockets, and refuses the
//! rest. Whoever holds the sockets decides what becomes of what arrives; while nobody does, nothing
//! leaves. The sandbox has no power over any of this (see `netns`).

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::links::{INSIDE, index_of, up};
use super::netns::{self, on_own_thread};
use super::nft;
use crate::driver::{GATE_NETWORK, GATE_PREFIX, Gate};

/// The other end of `eth0`.
const OTHER_END: &str = "gate0";
/// Of the sandbox's own `eth0`.
const ADDRESS: Ipv4Addr = {
    let [a, b, c, _] = GATE_NETWORK.octets();
    Ipv4Addr::new(a, b, c, 1)
};
/// Connections that wait for being taken.
const BACKLOG: i32 = 256;

/// Replaces what was there in one step. Connections that stand keep going where they went.
fn rules(port: u16) -> String {
    format!(
        "add table ip pinfold
delete table ip pinfold
table ip pinfold {{
    chain turn {{
        type nat hook output priority -100; policy accept;
        ip daddr {{ 127.0.0.0/8, {ADDRESS} }} return
        meta l4proto tcp redirect to :{port}
        udp dport 53 redirect to :{port}
    }}
    chain refuse {{
        type filter hook output priority 0; policy accept;
        ip daddr {{ 127.0.0.0/8, {ADDRESS} }} accept
        reject with icmp type admin-prohibited
    }}
}}
"
    )
}

const NO_RULES: &str = "add table ip pinfold
delete table ip pinfold
";

/// Opens the gate of that process's network namespace. Blocks for some milliseconds; doing it again
/// makes new sockets, to which everything turns from then on.
pub(super) fn open(process: &OwnedFd) -> io::Result<Gate> {
    inside(process, || {
        let gate = sockets()?;
        block_on(async |handle| {
            if index_of(handle, OTHER_END).await?.is_none() {
                make_pair(handle).await?;
            }
            Ok(())
        })?;
        nft::apply(&rules(gate.tcp.local_addr()?.port()))?;
        Ok(gate)
    })
}

/// Takes the gate away, if there is one.
pub(super) fn remove(process: &OwnedFd) -> io::Result<()> {
    inside(process, || {
        let removed = block_on(async |handle| match index_of(handle, OTHER_END).await? {
            Some(index) => {
                let removed = handle.link().del(index).execute().await;
                removed.map_err(io::Error::other)?;
                Ok(true)
            }
            None => Ok(false),
        })?;
        match removed {
            true => nft::apply(NO_RULES),
            false => Ok(()),
        }
    })
}

fn inside<T: Send>(
    process: &OwnedFd,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    on_own_thread(|| {
        netns::enter(process)?;
        work()
    })
}

fn block_on<T>(work: impl AsyncFnOnce(&rtnetlink::Handle) -> io::Result<T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let done = work(&handle).await;
        connection.abort();
        done
    })
}

/// Both on one port, which the sandbox may have taken for one of them.
fn sockets() -> io::Result<Gate> {
    const TRIES: usize = 16;
    let mut tries = 1;
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, tcp.local_addr()?.port())) {
            Ok(udp) => {
                rustix::net::listen(&tcp, BACKLOG)?;
                tcp.set_nonblocking(true)?;
                udp.set_nonblocking(true)?;
                return Ok(Gate { tcp, udp });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn make_pair(handle: &rtnetlink::Handle) -> io::Result<()> {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(OTHER_END.to_owned())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(INSIDE.to_owned())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    let made = handle.link().add(pair).execute().await;
    made.map_err(io::Error::other)?;
    for link in [INSIDE, OTHER_END] {
        // Its own addresses of IPv6 lead nowhere; without them programs use IPv4 at once. A kernel
        // without IPv6 has no such file.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1");
    }
    up(handle, OTHER_END).await?;
    let index = up(handle, INSIDE).await?;
    let addressed = handle
        .address()
        .add(index, ADDRESS.into(), GATE_PREFIX)
        .execute();
    addressed.await.map_err(io::Error::other)?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(index)
        .build();
    let routed = handle.route().add(route).execute().await;
    routed.map_err(io::Error::other)
}
