//! What kinds of addresses there are, as far as it matters to who asks for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds answer their machines' questions for secrets and settings, beside the link-local
/// addresses that most of them use.
const METADATA: [IpAddr; 4] = [
    // Amazon, over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Addresses of no registry: link-local ones are where clouds keep their machines' secrets.
pub(super) fn is_never_allowed(address: IpAddr) -> bool {
    let address = meant(address);
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => {
                v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
            }
            IpAddr::V6(v6) => {
                v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()
            }
        }
}

/// On this machine or a network that is not the internet's.
pub(super) fn is_inside(address: IpAddr) -> bool {
    const SHARED: [u8; 2] = [100, 64];
    is_never_allowed(address)
        || match meant(address) {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                // RFC 6598 has 100.64.0.0/10.
                v4.is_loopback() || v4.is_private() || (a == SHARED[0] && b & 0xc0 == SHARED[1])
            }
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        }
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), or by the well-known prefix of
/// translators, 64:ff9b::/96 (RFC 6052).
fn meant(address: IpAddr) -> IpAddr {
    if let IpAddr::V6(v6) = address
        && let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments()
    {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn the_machine_s_secrets_are_never_allowed_in_any_writing() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "64:ff9b::100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::1",
            "0.0.0.0",
            "::",
        ] {
            assert!(is_never_allowed(address(text)), "{text}");
            assert!(is_inside(address(text)), "{text}");
        }
    }

    #[test]
    fn networks_of_one_s_own_are_inside_and_the_internet_is_not() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
        ] {
            assert!(is_inside(address(text)), "{text}");
            assert!(!is_never_allowed(address(text)), "{text}");
        }
        for text in [
            "192.0.2.7",
            "100.128.0.1",
            "2001:db8::1",
            "64:ff9b::192.0.2.7",
        ] {
            assert!(!is_inside(address(text)), "{text}");
        }
    }
}
