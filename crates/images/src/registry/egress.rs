//! Where connections of a pull may go.
//!
//! What a registry sends us to (the place that gives tokens, redirects) is the registry's choice,
//! not the caller's. A registry outside must not make this server talk to the machines beside it,
//! so its places have to be outside too; and a caller may name the machines beside it only where
//! the request says so ([`Reach`]). Addresses are checked after they are resolved (`addresses`),
//! and the registry's own are resolved once and pinned.
//!
//! Where the operator has set a proxy for the registry, everything of the pull goes through it and
//! it decides. That is settled once: were each address asked about anew, an exception in `NO_PROXY`
//! or another scheme would let a registry lead us past both the proxy and the checks here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Proxy, Url};

use super::addresses::{is_inside, is_never_allowed};
use super::error::{PullError, root_cause};
use super::reference::Reference;

/// Offline machines get their answer within this.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Between two pieces of a body.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;

/// Which registries a caller may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Those that are not on this machine or its networks.
    Outside,
    Anywhere,
}

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
    /// Behind the operator's proxy, which resolves names and decides.
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
            Place::Inside | Place::Proxied => !is_never_allowed(address),
            Place::Outside => !is_inside(address),
        }
    }
}

/// A client for one pull from the reference's registry.
pub(super) async fn open(
    reference: &Reference,
    scheme: Scheme,
    reach: Reach,
) -> Result<(Client, Guard), PullError> {
    open_by(&Matcher::from_env(), reference, scheme, reach).await
}

async fn open_by(
    proxies: &Matcher,
    reference: &Reference,
    scheme: Scheme,
    reach: Reach,
) -> Result<(Client, Guard), PullError> {
    let builder = Client::builder()
        .user_agent(concat!("pinfold/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .pool_max_idle_per_host(4);
    let (builder, place) = match proxy_for(proxies, reference, scheme) {
        Some(found) => (proxied(builder, &found, reference)?, Place::Proxied),
        None => direct(builder, reference, scheme).await?,
    };
    if reach == Reach::Outside && (place == Place::Inside || names_inside(reference)) {
        return Err(PullError::Inside {
            registry: reference.registry().to_owned(),
        });
    }
    let guard = Guard { place, scheme };
    let client = builder
        .redirect(Policy::custom(move |attempt| follow(guard, attempt)))
        .build()
        .map_err(|error| unreachable(reference, root_cause(&error)))?;
    Ok((client, guard))
}

/// The operator's proxy for this registry; this machine itself needs none.
fn proxy_for(proxies: &Matcher, reference: &Reference, scheme: Scheme) -> Option<Intercept> {
    if reference.is_loopback() {
        return None;
    }
    let uri: Uri = format!("{}://{}/", scheme.as_str(), reference.registry())
        .parse()
        .ok()?;
    proxies.intercept(&uri)
}

/// Sends everything through the proxy, whatever the address: `NO_PROXY` was asked about the
/// registry, not about where it leads.
fn proxied(
    builder: ClientBuilder,
    found: &Intercept,
    reference: &Reference,
) -> Result<ClientBuilder, PullError> {
    if !matches!(found.uri().scheme_str(), Some("http" | "https")) {
        let why = "its proxy is not one of http:// or https://";
        return Err(unreachable(reference, why.to_owned()));
    }
    if literal(reference).is_some_and(is_never_allowed) {
        return Err(never(reference));
    }
    let proxy = Proxy::all(found.uri().to_string())
        .map_err(|error| unreachable(reference, root_cause(&error)))?;
    Ok(builder.proxy(match found.basic_auth() {
        Some(header) => proxy.custom_http_auth(header.clone()),
        None => proxy,
    }))
}

/// Connects to the registry's own addresses, and elsewhere only where those bound it to.
async fn direct(
    builder: ClientBuilder,
    reference: &Reference,
    scheme: Scheme,
) -> Result<(ClientBuilder, Place), PullError> {
    let addresses = resolve(reference.host())
        .await
        .map_err(|why| unreachable(reference, why))?;
    let (place, pinned) = chosen(addresses).ok_or_else(|| never(reference))?;
    let builder = builder
        .no_proxy()
        .resolve_to_addrs(reference.host(), &pinned)
        .dns_resolver(Arc::new(Guarded(Guard { place, scheme })));
    Ok((builder, place))
}

/// As the request will have it: `0x7f.1` is 127.0.0.1 in a URL.
fn literal(reference: &Reference) -> Option<IpAddr> {
    let url = Url::parse(&format!("https://{}/", reference.registry())).ok()?;
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn names_inside(reference: &Reference) -> bool {
    literal(reference).is_some_and(is_inside)
}

fn never(reference: &Reference) -> PullError {
    let why = "its address is not one that images come from";
    unreachable(reference, why.to_owned())
}

fn unreachable(reference: &Reference, why: String) -> PullError {
    PullError::Unreachable {
        registry: reference.registry().to_owned(),
        why,
    }
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

#[cfg(test)]
mod tests;
