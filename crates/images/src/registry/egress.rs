//! Where connections of a pull may go.
//!
//! A caller may name any registry; what a registry then sends us to (the place that gives tokens,
//! redirects) is the registry's choice, not the caller's. A registry outside must not make this
//! server talk to the machines beside it, so its places have to be outside too. Addresses are
//! checked after they are resolved, and the registry's own are resolved once and pinned. Where the
//! operator has set a proxy, the proxy decides.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};

use super::error::{PullError, root_cause};
use super::reference::Reference;

/// Offline machines get their answer within this.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Between two pieces of a body.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;
const PROXY_VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// How the registry may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Https,
    Http,
}

impl Scheme {
    /// Plain HTTP is for this machine itself and where it was asked for.
    pub(super) fn of(reference: &Reference, insecure: bool) -> Self {
        match insecure || reference.is_loopback() {
            true => Self::Http,
            false => Self::Https,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Where the registry of a pull is, which bounds where it may send us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On this machine or its networks.
    Inside,
    Outside,
    /// Behind the operator's proxy.
    Proxied,
}

/// What checks addresses that a registry names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    place: Place,
    scheme: Scheme,
}

impl Guard {
    /// Why there is no request to `url`, if there is none.
    pub(super) fn refuses(self, url: &Url) -> Option<&'static str> {
        match url.scheme() {
            "https" => {}
            "http" if self.scheme == Scheme::Http => {}
            _ => return Some("which is not encrypted as the registry itself is"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some("which holds credentials");
        }
        let literal = url.host_str().map(|host| host.trim_matches(['[', ']']));
        match literal.map(str::parse::<IpAddr>) {
            Some(Ok(address)) if !self.allows(address) => {
                Some("which is inside this server's network")
            }
            Some(_) => None,
            None => Some("which names no host"),
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        match self.place {
            Place::Proxied => true,
            Place::Inside => !is_never_allowed(address),
            Place::Outside => !is_inside(address),
        }
    }
}

/// A client for one pull from the reference's registry.
pub(super) async fn open(
    reference: &Reference,
    scheme: Scheme,
) -> Result<(Client, Guard), PullError> {
    let unreachable = |why: String| PullError::Unreachable {
        registry: reference.registry().to_owned(),
        why,
    };
    let mut builder = Client::builder()
        .user_agent(concat!("pinfold/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .pool_max_idle_per_host(4);
    let mut guard = Guard {
        place: Place::Proxied,
        scheme,
    };
    if reference.is_loopback() || !has_proxy() {
        let addresses = resolve(reference.host()).await.map_err(unreachable)?;
        let (place, pinned) = chosen(addresses)
            .ok_or_else(|| unreachable("its address is not one that images come from".into()))?;
        guard.place = place;
        builder = builder
            .no_proxy()
            .resolve_to_addrs(reference.host(), &pinned)
            .dns_resolver(Arc::new(Guarded(guard)));
    }
    let client = builder
        .redirect(Policy::custom(move |attempt| follow(guard, attempt)))
        .build()
        .map_err(|error| unreachable(root_cause(&error)))?;
    Ok((client, guard))
}

fn has_proxy() -> bool {
    PROXY_VARIABLES
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

async fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    match tokio::time::timeout(CONNECT_MAX, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(format!("its name does not resolve ({error})")),
        Err(_) => Err("its name does not resolve in time".to_owned()),
    }
}

/// Names with addresses of both kinds are outside: they could change their mind.
fn chosen(addresses: Vec<IpAddr>) -> Option<(Place, Vec<SocketAddr>)> {
    let allowed: Vec<IpAddr> = addresses
        .into_iter()
        .filter(|address| !is_never_allowed(*address))
        .collect();
    let (inside, outside): (Vec<_>, Vec<_>) =
        allowed.into_iter().partition(|address| is_inside(*address));
    let (place, kept) = match outside.is_empty() {
        true => (Place::Inside, inside),
        false => (Place::Outside, outside),
    };
    let pinned: Vec<_> = kept.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
    (!pinned.is_empty()).then_some((place, pinned))
}

fn follow(guard: Guard, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("too many redirects");
    }
    match guard.refuses(attempt.url()) {
        Some(_) => attempt.error("the redirect leads where it must not"),
        None => attempt.follow(),
    }
}

struct Guarded(Guard);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            let found = resolve(name.as_str()).await?;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| guard.allows(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err("the name leads inside this server's network".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Addresses of no registry: link-local ones are where clouds keep their machines' secrets.
fn is_never_allowed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}

/// On this machine or a network that is not the internet's.
fn is_inside(address: IpAddr) -> bool {
    const SHARED: [u8; 2] = [100, 64];
    is_never_allowed(address)
        || match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                // RFC 6598 has 100.64.0.0/10.
                v4.is_loopback() || v4.is_private() || (a == SHARED[0] && b & 0xc0 == SHARED[1])
            }
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(place: Place, scheme: Scheme, url: &str) -> bool {
        let guard = Guard { place, scheme };
        guard.refuses(&url.parse().expect(url)).is_some()
    }

    #[test]
    fn a_registry_outside_cannot_lead_inside() {
        for url in [
            "https://127.0.0.1/token",
            "https://10.1.2.3/token",
            "https://[::1]/token",
            "https://[::ffff:10.0.0.1]/token",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "http://auth.example/token",
            "https://user:pass@auth.example/token",
            "file:///etc/passwd",
        ] {
            assert!(refuses(Place::Outside, Scheme::Https, url), "{url}");
        }
        assert!(!refuses(
            Place::Outside,
            Scheme::Https,
            "https://auth.example/token"
        ));
    }

    #[test]
    fn a_registry_inside_may_lead_to_its_neighbours_only_not_to_the_machine_s_secrets() {
        assert!(!refuses(
            Place::Inside,
            Scheme::Http,
            "http://10.1.2.3/token"
        ));
        assert!(refuses(
            Place::Inside,
            Scheme::Http,
            "http://169.254.169.254/"
        ));
        assert!(refuses(
            Place::Inside,
            Scheme::Https,
            "http://10.1.2.3/token"
        ));
    }

    #[test]
    fn a_name_of_both_kinds_is_outside_and_keeps_its_outer_addresses() {
        let parse = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect(text)).collect()
        };
        let (place, kept) = chosen(parse(&["10.0.0.1", "192.0.2.7"])).expect("one is left");
        assert_eq!((place, kept.len()), (Place::Outside, 1));
        let (place, _) = chosen(parse(&["127.0.0.1", "::1"])).expect("both");
        assert_eq!(place, Place::Inside);
        assert!(chosen(parse(&["169.254.169.254", "fe80::1", "0.0.0.0"])).is_none());
    }
}
