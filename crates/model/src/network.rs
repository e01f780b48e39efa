//! What a sandbox with network mode `policy` may reach: rules by name and by address, and what
//! they decide.
//!
//! A name is allowed as a name and an address as an address: a rule for `example.com` says nothing
//! about the addresses it has today. What no rule allows is denied, and a rule that denies wins.

mod named;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

pub use named::NamedPolicy;

/// The rules of one sandbox. Empty, it allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkPolicy {
    #[serde(default)]
    pub allow: Vec<Rule>,
    #[serde(default)]
    pub deny: Vec<Rule>,
}

/// One rule, written `PLACE` or `PLACE:PORT` or `PLACE:FIRST-LAST`, where a place is a name
/// (`example.com`), every name below one (`*.example.com`), every name (`*`), an address or a
/// network (`203.0.113.0/24`; with ports, those of IPv6 stand in brackets).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    place: Place,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Name(HostName),
    Below(HostName),
    AnyName,
    Net(IpNet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ports {
    first: u16,
    last: u16,
}

/// A DNS name: lower case, without the dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// What may be done with an address that a name led to, or that was asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No rule allows it.
    NotAllowed,
    /// A rule denies it.
    Denied,
    /// It belongs to a private network, and no rule allows it by its address.
    Private,
    /// It belongs to this machine, to one link or to a cloud's metadata. No rule changes that.
    Never,
}

impl NetworkPolicy {
    pub fn validate(&self) -> Result<()> {
        for (field, rules) in [("allow", &self.allow), ("deny", &self.deny)] {
            if rules.len() > limits::NETWORK_RULES_MAX {
                let max = limits::NETWORK_RULES_MAX;
                let words = format!("{field} may have at most {max} rules, not {}", rules.len());
                return Err(Error::invalid(field, words));
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a name server may answer for it: a connection to some port of it is possible.
    #[must_use]
    pub fn knows(&self, name: &HostName) -> bool {
        let denied = |rule: &Rule| rule.ports == Ports::ALL && rule.is_name(name);
        self.allow.iter().any(|rule| rule.is_name(name)) && !self.deny.iter().any(denied)
    }

    /// Whether a connection to that name may be made; its address is another question.
    pub fn check_name(&self, name: &HostName, port: u16) -> std::result::Result<(), Refusal> {
        let of = |rule: &&Rule| rule.ports.hold(port) && rule.is_name(name);
        if self.deny.iter().any(|rule| of(&rule)) {
            return Err(Refusal::Denied);
        }
        match self.allow.iter().any(|rule| of(&rule)) {
            true => Ok(()),
            false => Err(Refusal::NotAllowed),
        }
    }

    /// Whether a connection to an address may be made that nobody gave a name.
    pub fn check_address(&self, address: IpAddr, port: u16) -> std::result::Result<(), Refusal> {
        self.check_range(address, port)?;
        match self.allows_address(address, port) {
            true => Ok(()),
            false => Err(Refusal::NotAllowed),
        }
    }

    /// Whether a name that is allowed may lead to that address. One in a private network needs a
    /// rule for the address as well: otherwise whoever has a name could point it inwards.
    pub fn check_answer(&self, address: IpAddr, port: u16) -> std::result::Result<(), Refusal> {
        self.check_range(address, port)?;
        match is_private(plain(address)) && !self.allows_address(address, port) {
            true => Err(Refusal::Private),
            false => Ok(()),
        }
    }

    fn check_range(&self, address: IpAddr, port: u16) -> std::result::Result<(), Refusal> {
        let address = plain(address);
        if is_out_of_bounds(address) {
            return Err(Refusal::Never);
        }
        let denied = |rule: &Rule| rule.ports.hold(port) && rule.has_address(address);
        match self.deny.iter().any(denied) {
            true => Err(Refusal::Denied),
            false => Ok(()),
        }
    }

    fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        let address = plain(address);
        let allows = |rule: &Rule| rule.ports.hold(port) && rule.has_address(address);
        self.allow.iter().any(allows)
    }
}

impl Rule {
    /// The addresses that it is about; `None` where it is about names.
    #[must_use]
    pub const fn net(&self) -> Option<IpNet> {
        match &self.place {
            Place::Net(net) => Some(*net),
            Place::Name(_) | Place::Below(_) | Place::AnyName => None,
        }
    }

    /// The first and the last port that it is about; `None`: all.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        (self.ports != Ports::ALL).then_some((self.ports.first, self.ports.last))
    }

    fn is_name(&self, name: &HostName) -> bool {
        match &self.place {
            Place::Name(own) => own == name,
            Place::Below(own) => name.is_below(own),
            Place::AnyName => true,
            Place::Net(_) => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        matches!(&self.place, Place::Net(net) if net.contains(&address))
    }
}

impl Ports {
    const ALL: Self = Self {
        first: 1,
        last: u16::MAX,
    };

    fn hold(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl HostName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_below(&self, other: &Self) -> bool {
        self.0
            .strip_suffix(other.as_str())
            .is_some_and(|rest| rest.ends_with('.'))
    }
}

impl FromStr for HostName {
    type Err = ();

    /// Names with letters of other alphabets have to come as they are asked for (`xn--...`).
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        const NAME_MAX: usize = 253;
        const LABEL_MAX: usize = 63;
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=LABEL_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let is_name = text.len() <= NAME_MAX && text.split('.').all(is_label);
        // What reads as an address is none: 127.1 and 0x7f000001 are, to many programs.
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
        match is_name && !is_number {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(()),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            Error::invalid(
                "network_policy",
                format!(
                    "{text:?} is no rule: write a name (example.com, *.example.com or *), an \
                     address or a network (203.0.113.0/24), and after it :PORT or :FIRST-LAST \
                     where only some ports are meant"
                ),
            )
        })
    }
}

fn parse(text: &str) -> Option<Rule> {
    // An address of IPv6 has colons of its own.
    if let Some(net) = parse_net(text) {
        return Some(Rule {
            place: Place::Net(net),
            ports: Ports::ALL,
        });
    }
    let (place, ports) = match text.rsplit_once(':') {
        Some((place, ports)) => (place, parse_ports(ports)?),
        None => (text, Ports::ALL),
    };
    let bracketed = place
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(inside) = bracketed {
        let net = parse_net(inside).filter(|net| matches!(net, IpNet::V6(_)))?;
        return Some(Rule {
            place: Place::Net(net),
            ports,
        });
    }
    let place = match (parse_net(place), place.strip_prefix("*.")) {
        (Some(IpNet::V6(_)), _) => return None,
        (Some(net), _) => Place::Net(net),
        (None, Some(name)) => Place::Below(name.parse().ok()?),
        (None, None) if place == "*" => Place::AnyName,
        (None, None) => Place::Name(place.parse().ok()?),
    };
    Some(Rule { place, ports })
}

fn parse_net(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>()
        .ok()
        .or_else(address)
        .map(|net| net.trunc())
}

fn parse_ports(text: &str) -> Option<Ports> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(Ports { first, last })
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.ports == Ports::ALL;
        match &self.place {
            Place::Name(name) => write!(f, "{name}")?,
            Place::Below(name) => write!(f, "*.{name}")?,
            Place::AnyName => f.write_str("*")?,
            Place::Net(net @ IpNet::V6(_)) if !all => write!(f, "[{net}]")?,
            Place::Net(net) => write!(f, "{net}")?,
        }
        match self.ports {
            _ if all => Ok(()),
            Ports { first, last } if first == last => write!(f, ":{first}"),
            Ports { first, last } => write!(f, ":{first}-{last}"),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "no rule allows it",
            Self::Denied => "a rule denies it",
            Self::Private => {
                "the name leads into a private network, which needs a rule for the \
                              address"
            }
            Self::Never => "the address is this machine's own, or of one link",
        })
    }
}

/// An address of IPv4 that is written as one of IPv6 (mapped, or behind NAT64) means the former.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address.to_canonical() else {
        return address.to_canonical();
    };
    match six.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => IpAddr::V6(six),
    }
}

/// What no rule opens: a server that dials these would talk to its own machine, to its link or to
/// whoever tells a cloud's machines their keys.
fn is_out_of_bounds(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            a == 0
                || four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || a >= 240
                || (a == 198 && (b == 18 || b == 19))
                || four == Ipv4Addr::new(100, 100, 100, 200)
                || four == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(six) => {
            six.is_unspecified()
                || six.is_loopback()
                || six.is_multicast()
                || six.is_unicast_link_local()
                // Clouds' metadata, and addresses of IPv4 in the old compatible form.
                || six.segments()[..2] == [0xfd00, 0x0ec2]
                || six.segments()[..2] == [0xfd20, 0x00ce]
                || six.segments()[..6] == [0; 6]
        }
    }
}

/// What is not out on the internet, and perhaps on a network of the operator's.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            four.is_private() || (a == 100 && (64..128).contains(&b)) || (a, b, c) == (192, 0, 0)
        }
        IpAddr::V6(six) => {
            let first = six.segments()[0];
            six.is_unique_local() || (first & 0xffc0) == 0xfec0
                // Tunnels that carry an address of IPv4 inside: 6to4 and Teredo.
                || first == 0x2002 || six.segments()[..2] == [0x2001, 0]
        }
    }
}

#[cfg(test)]
mod tests;
