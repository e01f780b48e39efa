//! Addresses that stand for names, in the network that the sandbox believes to be in.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use pinfold_model::network::HostName;

/// Names that one sandbox has asked for. Some hundred bytes each.
const NAMES_MAX: usize = 8192;
/// The first ones in the network are its own, its name server's and the like.
const RESERVED: u32 = 16;

/// Where an address comes from its name alone (but for the rare two that fall together), a program
/// that has kept one finds the same name behind it as soon as anybody asks again, also in the next
/// server.
#[derive(Debug)]
pub(crate) struct Names {
    network: u32,
    size: u32,
    by_name: HashMap<HostName, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, HostName>,
}

impl Names {
    pub(crate) fn new(network: Ipv4Addr, prefix: u8) -> Self {
        Self {
            network: u32::from(network),
            size: 1 << (32 - u32::from(prefix)),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
        }
    }

    /// The address of that name; `None` when there are too many names.
    pub(crate) fn address_of(&mut self, name: &HostName) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_name.get(name) {
            return Some(*address);
        }
        if self.by_name.len() >= NAMES_MAX {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let places = u64::from(self.size - 2 * RESERVED);
        let first = u32::try_from(hasher.finish() % places).expect("less than the size");
        let mut place = first;
        let address = loop {
            let address = Ipv4Addr::from(self.network + RESERVED + place);
            if !self.by_address.contains_key(&address) {
                break address;
            }
            place = (place + 1) % (self.size - 2 * RESERVED);
        };
        self.by_name.insert(name.clone(), address);
        self.by_address.insert(address, name.clone());
        Some(address)
    }

    pub(crate) fn name_of(&self, address: Ipv4Addr) -> Option<&HostName> {
        self.by_address.get(&address)
    }

    /// Whether the address can only stand for a name, known or not.
    pub(crate) fn stands_for_names(&self, address: Ipv4Addr) -> bool {
        u32::from(address).wrapping_sub(self.network) < self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_lead_to_each_other_and_there_is_an_end() {
        let mut names = Names::new(Ipv4Addr::new(198, 18, 0, 0), 15);
        let one: HostName = "example.com".parse().expect("name");
        let address = names.address_of(&one).expect("room");
        assert_eq!(names.address_of(&one), Some(address));
        assert_eq!(names.name_of(address), Some(&one));
        assert!(names.stands_for_names(address));
        let given: std::collections::HashSet<_> = (1..NAMES_MAX)
            .map(|at| format!("n{at}.example.com").parse().expect("name"))
            .map(|name| names.address_of(&name).expect("room"))
            .collect();
        assert_eq!(given.len(), NAMES_MAX - 1);
        assert!(!given.contains(&address));
        assert_eq!(names.address_of(&"one.more".parse().expect("name")), None);
        assert!(!names.stands_for_names(Ipv4Addr::new(198, 20, 0, 0)));
        assert!(!names.stands_for_names(Ipv4Addr::new(198, 17, 255, 255)));
    }
}
