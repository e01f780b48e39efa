//! The addresses of sandboxes with network `open`.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::slots::{SLOTS, Slot};

/// Addresses of one sandbox: network, this machine's end, its own, broadcast.
const EACH: u32 = 4;
/// What all slots take.
const PREFIX: u32 = 32 - (SLOTS * EACH).ilog2();
/// Links of sandboxes; their own routes are no strangers'.
pub(super) const LINKS: &str = "pfsb";

/// 65,536 addresses in a row: four for each of 16,384 sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(u32);

impl Default for Subnet {
    fn default() -> Self {
        Self(u32::from_be_bytes([10, 213, 0, 0]))
    }
}

/// A private network in the form `10.213.0.0/16`, of that size or larger; the first 65,536 of its
/// addresses are used.
impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network such as 10.213.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u32 = prefix.parse().map_err(|_| wrong())?;
        if prefix > PREFIX {
            return Err(format!(
                "{text} is too small: a /{PREFIX} or larger is needed"
            ));
        }
        if !address.is_private() && !is_shared(address) {
            return Err(format!(
                "{text} is not private: choose from 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or \
                 100.64.0.0/10"
            ));
        }
        let first = address.to_bits();
        if first & !mask(prefix) != 0 {
            let network = Ipv4Addr::from_bits(first & mask(prefix));
            return Err(format!(
                "{text} begins within a network; meant was {network}/{prefix}"
            ));
        }
        Ok(Self(first))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{PREFIX}", Ipv4Addr::from_bits(self.0))
    }
}

impl Subnet {
    /// This machine's end of a slot's link, and the sandbox's.
    pub(super) fn ends(self, slot: Slot) -> (Ipv4Addr, Ipv4Addr) {
        let network = self.0 + slot.number() * EACH;
        (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2))
    }

    /// The first of this machine's routes that leads to a part of it, in words; a default route
    /// does not count.
    pub(super) fn taken(self) -> io::Result<Option<String>> {
        let routes = match std::fs::read_to_string("/proc/net/route") {
            // No route at all.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(routes.lines().skip(1).find_map(|line| self.overlap(line)))
    }

    /// Columns of /proc/net/route, addresses in the byte order of this machine: interface,
    /// destination, ..., mask (the eighth).
    fn overlap(self, line: &str) -> Option<String> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let address = |at: usize| {
            let number = u32::from_str_radix(columns.get(at)?, 16).ok()?;
            Some(u32::from_be_bytes(number.to_ne_bytes()))
        };
        let (interface, first, their_mask) = (columns.first()?, address(1)?, address(7)?);
        let common = their_mask & mask(PREFIX);
        if interface.starts_with(LINKS) || their_mask == 0 || first & common != self.0 & common {
            return None;
        }
        let network = Ipv4Addr::from_bits(first);
        Some(format!(
            "{network}/{} at {interface}",
            their_mask.count_ones()
        ))
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    address.to_bits() & mask(10) == u32::from_be_bytes([100, 64, 0, 0])
}

fn mask(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_cannot_be_used_is_told_why() {
        let subnet = |text: &str| text.parse::<Subnet>();
        assert_eq!(subnet("10.213.0.0/16"), Ok(Subnet::default()));
        assert_eq!(
            subnet("100.64.0.0/10").expect("shared").to_string(),
            "100.64.0.0/16"
        );
        for (text, word) in [
            ("10.0.0.0/17", "too small"),
            ("10.1.2.0/16", "10.1.0.0/16"),
            ("8.8.0.0/16", "private"),
            ("127.0.0.0/8", "private"),
            ("10.0.0.0", "no network"),
            ("::/16", "no network"),
        ] {
            let words = subnet(text).expect_err(text);
            assert!(words.contains(word), "{words}");
        }
    }

    #[test]
    fn routes_into_it_are_found_and_others_are_not() {
        let subnet = Subnet::default();
        let line = |interface: &str, destination: [u8; 4], mask: [u8; 4]| {
            let hex = |bytes| format!("{:08X}", u32::from_ne_bytes(bytes));
            let (to, mask) = (hex(destination), hex(mask));
            format!("{interface}\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0")
        };
        for (route, words) in [
            (
                line("eth1", [10, 213, 4, 0], [255, 255, 255, 0]),
                Some("10.213.4.0/24 at eth1"),
            ),
            (
                line("eth1", [10, 0, 0, 0], [255, 0, 0, 0]),
                Some("10.0.0.0/8 at eth1"),
            ),
            (line("eth0", [0, 0, 0, 0], [0, 0, 0, 0]), None),
            (line("eth0", [10, 214, 0, 0], [255, 255, 0, 0]), None),
            (line("pfsb7", [10, 213, 0, 28], [255, 255, 255, 252]), None),
            ("Iface Destination".to_owned(), None),
        ] {
            assert_eq!(subnet.overlap(&route).as_deref(), words, "{route}");
        }
    }
}
