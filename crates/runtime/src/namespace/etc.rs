//! The files of /etc that differ from sandbox to sandbox.

use pinfold_model::NetworkMode;
use pinfold_proto::spawn::File;

use crate::driver::GATE_RESOLVER;

pub(super) const PATHS: [&str; 3] = [HOSTS, HOSTNAME, RESOLVER];
const HOSTS: &str = "etc/hosts";
const HOSTNAME: &str = "etc/hostname";
const RESOLVER: &str = "etc/resolv.conf";

pub(super) fn files(hostname: &str, network: NetworkMode) -> Vec<File> {
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{hostname}\n");
    [
        (HOSTS, hosts),
        (HOSTNAME, format!("{hostname}\n")),
        (RESOLVER, resolver(network)),
    ]
    .map(|(path, content)| File {
        path: path.to_owned(),
        content: content.into_bytes(),
    })
    .into()
}

/// What /etc/resolv.conf says in that mode.
pub(super) fn resolver(network: NetworkMode) -> String {
    match network {
        NetworkMode::None => "# This sandbox has no network.\n".to_owned(),
        NetworkMode::Open => reachable_servers(),
        NetworkMode::Policy => format!("nameserver {GATE_RESOLVER}\n"),
    }
}

/// The name servers of this machine, as far as they can be reached from a sandbox: a resolver on
/// the machine's loopback cannot, so the ones behind systemd-resolved are looked up instead.
fn reachable_servers() -> String {
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let servers = reachable(&text);
        if !servers.is_empty() {
            return servers
                .into_iter()
                .map(|server| format!("nameserver {server}\n"))
                .collect();
        }
    }
    "# No name server of this machine is reachable from a sandbox.\n".to_owned()
}

fn reachable(text: &str) -> Vec<std::net::IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter(|address: &std::net::IpAddr| !address.is_loopback() && address.is_ipv4())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_resolvers_are_passed_over() {
        let text = "# c\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch x\nnameserver ::1\n";
        assert_eq!(
            reachable(text),
            ["192.0.2.1".parse::<std::net::IpAddr>().expect("address")]
        );
    }
}
