//! Network mode `open`, between namespaces that the test makes itself: an "outside" machine behind
//! this one, and sandboxes that may reach it and nothing else.

mod support;

use std::process::Command;

use pinfold_model::{ExitStatus, NetworkMode};
use pinfold_runtime::driver::BootSpec;
use pinfold_runtime::namespace::Disks;
use support::{Sandbox, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A machine beyond this one: a network namespace with a web server, reached through a veth pair.
struct Outside {
    server: std::process::Child,
    /// Its addresses can be there once only; whoever has the lock has them.
    _lock: std::fs::File,
}

impl Outside {
    /// Of its network namespace and of the link to it.
    const NAME: &str = "pfoutside";

    fn new() -> Self {
        let lock = std::env::temp_dir().join("pinfold-test-outside.lock");
        let lock = std::fs::File::create(lock).expect("lock");
        lock.lock().expect("lock");
        // A test that was killed left its own.
        Self::remove();
        let name = Self::NAME;
        let lines = format!(
            "ip netns add {name}; ip link add {name} type veth peer name out0 netns {name}; \
             ip addr add 198.51.100.1/24 dev {name}; ip link set {name} up; \
             ip netns exec {name} ip addr add 198.51.100.2/24 dev out0; \
             for metadata in {METADATA}; do ip netns exec {name} ip addr add $metadata/32 dev out0; \
             done; \
             ip netns exec {name} ip link set out0 up; ip netns exec {name} ip link set lo up; \
             for metadata in {METADATA}; do ip route add $metadata/32 dev {name}; done"
        );
        let status = Command::new("sh").args(["-ec", &lines]).status();
        assert!(status.expect("sh").success(), "{lines}");
        let server = Self::inside()
            .args(["python3", "-m", "http.server", "8080"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("server");
        Self {
            server,
            _lock: lock,
        }
    }

    /// What is added to it runs out there.
    fn inside() -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", Self::NAME]);
        command
    }

    /// The end of a network namespace takes its links along only after a while, so the link goes
    /// by itself.
    fn remove() {
        for what in ["link", "netns"] {
            let _ = Command::new("ip")
                .args([what, "del", Self::NAME])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        Self::remove();
    }
}

/// Where clouds keep what their machines are told, keys among it.
const METADATA: &str = "169.254.169.254 100.100.100.200 168.63.129.16";
const CONNECT: &str = "try() { timeout 2 bash -c \"exec 3<>/dev/tcp/$1/$2\" 2>/dev/null; }; ";

#[tokio::test]
async fn an_open_sandbox_reaches_the_outside_and_neither_host_nor_neighbours_nor_metadata() {
    let _outside = Outside::new();
    let world = World::new();
    let open = || BootSpec {
        network: NetworkMode::Open,
        ..world.spec()
    };
    let (one, two) = (world.boot(&open()).await, world.boot(&open()).await);
    let reach = format!(
        "{CONNECT} for i in $(seq 15); do try 198.51.100.2 8080 && exit 0; sleep 0.1; done; exit 1"
    );
    let reached = one.sh(&reach).await;
    assert_eq!(reached.status, ExitStatus::Code(0), "{reached:?}");

    // The host listens on every address; none of them may answer a sandbox.
    let host = std::net::TcpListener::bind("0.0.0.0:0").expect("listen");
    let port = host.local_addr().expect("address").port();
    let gateway = gateway_of(&one).await;
    for address in [gateway.to_string(), "198.51.100.1".to_owned()] {
        let line = format!("{CONNECT} try {address} {port}");
        assert_ne!(one.sh(&line).await.status, ExitStatus::Code(0), "{address}");
    }
    for metadata in METADATA.split(' ') {
        let line = format!("{CONNECT} try {metadata} 8080");
        let tried = one.sh(&line).await.status;
        assert_ne!(tried, ExitStatus::Code(0), "{metadata}");
    }

    // The neighbour's own address, from its point of view.
    let serve = "python3 -m http.server 8000 >/dev/null 2>&1 & for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null && break; sleep 0.05; done; python3 -c \"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.connect(('198.51.100.2',1));print(s.getsockname()[0])\"";
    let address = two.sh(serve).await.stdout.trim().to_owned();
    assert!(address.starts_with("10.213."), "{address}");
    let line = format!("{CONNECT} try {address} 8000");
    assert_ne!(one.sh(&line).await.status, ExitStatus::Code(0));
    // Nor does the outside begin a conversation with a sandbox.
    let status = Outside::inside()
        .args(["timeout", "2", "bash", "-c"])
        .arg(format!("ip route add 10.213.0.0/16 via 198.51.100.1 2>/dev/null; exec 3<>/dev/tcp/{address}/8000"))
        .stderr(std::process::Stdio::null())
        .status()
        .expect("run");
    assert!(!status.success());
    drop(host);
    let links = || -> Vec<String> {
        let entries = std::fs::read_dir("/sys/class/net").expect("links");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with("pfsb")).collect()
    };
    let link = format!("pfsb{}", slot_of(&gateway));
    assert!(links().contains(&link), "{link} of {:?}", links());
    world.destroy(one).await;
    world.destroy(two).await;
    assert!(!links().contains(&link), "{link} is left");
}

#[tokio::test]
async fn a_stopped_sandbox_has_no_link_and_gets_it_back() {
    let _outside = Outside::new();
    let world = World::with_disks(Disks::Pool {
        size_bytes: 1 << 30,
    });
    let spec = BootSpec {
        network: NetworkMode::Open,
        ..world.spec()
    };
    for _ in 0..3 {
        let sandbox = world.boot(&spec).await;
        let gateway = gateway_of(&sandbox).await;
        let link = format!("/sys/class/net/pfsb{}", slot_of(&gateway));
        assert!(std::path::Path::new(&link).exists(), "{link}");
        world.driver().stop(&spec.id).await.expect("stop");
        assert!(!std::path::Path::new(&link).exists(), "{link} is left");
    }
    world.driver().destroy(&spec.id).await.expect("destroy");
    world.driver().settle().await;
}

async fn gateway_of(sandbox: &Sandbox) -> std::net::Ipv4Addr {
    let line = "awk '$2==\"00000000\"{print $3}' /proc/net/route";
    let gateway = sandbox.sh(line).await.stdout;
    let gateway = u32::from_str_radix(gateway.trim(), 16).expect("gateway");
    std::net::Ipv4Addr::from(gateway.to_le_bytes())
}

/// Slots number networks of four addresses each.
fn slot_of(gateway: &std::net::Ipv4Addr) -> u32 {
    (u32::from(*gateway) - u32::from_be_bytes([10, 213, 0, 0])) / 4
}

/// The test is the one who holds the gate.
#[tokio::test]
async fn what_a_sandbox_with_a_policy_wants_arrives_at_its_gate_and_nowhere_else() {
    let _outside = Outside::new();
    let world = World::new();
    let spec = BootSpec {
        network: NetworkMode::Policy,
        ..world.spec()
    };
    let sandbox = world.boot(&spec).await;
    let reach = format!("{CONNECT} try 198.51.100.2 8080");
    assert_ne!(
        sandbox.sh(&reach).await.status,
        ExitStatus::Code(0),
        "no gate yet"
    );
    let gate = world
        .driver()
        .set_network(&spec.id, NetworkMode::Policy)
        .await;
    let gate = gate.expect("link").expect("a gate");
    let (tcp, udp) = (
        tokio::net::TcpListener::from_std(gate.tcp).expect("tcp"),
        tokio::net::UdpSocket::from_std(gate.udp).expect("udp"),
    );

    let talk = "timeout 20 bash -c 'exec 3<>/dev/tcp/203.0.113.9/443; echo hello >&3; cat <&3'";
    let (heard, ()) = tokio::join!(sandbox.sh(talk), async {
        let (mut taken, _) = tcp.accept().await.expect("a connection");
        let wanted = rustix::net::sockopt::ip_original_dst(&taken).expect("where to");
        assert_eq!(wanted.to_string(), "203.0.113.9:443");
        let mut said = [0; 6];
        taken.read_exact(&mut said).await.expect("its words");
        taken.write_all(b"gate says hi\n").await.expect("answer");
    });
    assert_eq!(heard.stdout, "gate says hi\n");

    let ask = "python3 -c \"import socket;s=socket.socket(2,2);s.settimeout(20);s.sendto(b'who?',('8.8.8.8',53));print(s.recv(99))\"";
    let (heard, ()) = tokio::join!(sandbox.sh(ask), async {
        let mut question = [0; 64];
        let (length, from) = udp.recv_from(&mut question).await.expect("a question");
        assert_eq!(&question[..length], b"who?");
        udp.send_to(b"me", from).await.expect("answer");
    });
    assert_eq!(heard.stdout, "b'me'\n");

    // Other datagrams, its own services, and what no rule set of its own may change.
    let refused = sandbox
        .sh("python3 -c \"import socket;s=socket.socket(2,2);s.sendto(b'x',('198.51.100.2',9))\"")
        .await;
    assert_ne!(refused.status, ExitStatus::Code(0));
    let own = "python3 -c \"import socket;s=socket.socket();s.bind(('0.0.0.0',81));s.listen();socket.create_connection(('198.18.0.1',81));print('ok')\"";
    assert_eq!(sandbox.sh(own).await.stdout, "ok\n");
    for power in [
        "ip link set eth0 down",
        "ip route del default",
        "nft flush ruleset",
    ] {
        let tried = sandbox
            .sh(&format!("PATH=$PATH:/usr/sbin:/sbin {power}"))
            .await;
        assert_ne!(tried.status, ExitStatus::Code(0), "{power}");
    }

    // Away and back again, through every other mode.
    drop((tcp, udp));
    assert_ne!(
        sandbox.sh(&reach).await.status,
        ExitStatus::Code(0),
        "nobody holds the gate"
    );
    for _ in 0..2 {
        let open = world
            .driver()
            .set_network(&spec.id, NetworkMode::Open)
            .await;
        assert!(open.expect("link").is_none());
        assert_eq!(sandbox.sh(&reach).await.status, ExitStatus::Code(0));
        let none = world
            .driver()
            .set_network(&spec.id, NetworkMode::None)
            .await;
        assert!(none.expect("link").is_none());
        assert_ne!(sandbox.sh(&reach).await.status, ExitStatus::Code(0));
        let policy = world
            .driver()
            .set_network(&spec.id, NetworkMode::Policy)
            .await;
        let _first = policy.expect("link").expect("a gate");
        let policy = world
            .driver()
            .set_network(&spec.id, NetworkMode::Policy)
            .await;
        let gate = policy.expect("link").expect("another");
        let tcp = tokio::net::TcpListener::from_std(gate.tcp).expect("tcp");
        let (status, taken) = tokio::join!(sandbox.sh(&reach), tcp.accept());
        assert_eq!(status.status, ExitStatus::Code(0));
        taken.expect("at the new gate");
    }
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_sandbox_without_network_has_its_loopback_and_nothing_else() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let links = sandbox
        .sh("cat /proc/net/dev | tail -n +3 | awk '{print $1}'")
        .await
        .stdout;
    assert_eq!(links, "lo:\n");
    let bind = "python3 -c \"import socket;s=socket.socket();s.bind(('127.0.0.1',80));s.listen();socket.create_connection(('127.0.0.1',80));print('ok')\"";
    assert_eq!(sandbox.sh_as("nobody", bind).await.stdout, "ok\n");
    let out = sandbox.sh(&format!("{CONNECT} try 198.51.100.2 80")).await;
    assert_ne!(out.status, ExitStatus::Code(0));
    world.destroy(sandbox).await;
}
