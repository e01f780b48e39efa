//! Which preview a request is for, by its host name or by its path. Pure.

use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery};
use pinfold_http::{Addresses, PREVIEW_PATH, authority};
use pinfold_model::{Slug, TerminalsKey, TunnelHost};

/// Browsers of this machine find every name below it on loopback, so previews have origins of their
/// own there without any set-up.
const LOCAL_DOMAIN: &str = "localhost";

/// The kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An origin of its own.
    Host,
    /// A path of the API's origin.
    Path,
    /// An origin of its own for each port of a sandbox: a tunnel's.
    Tunnel,
}

/// Whose a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Api,
    Address(Address),
    Terminals(TerminalsKey),
}

/// What a request's address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) kind: Kind,
    /// Of a preview, or the label `PORT-KEY` of a tunnel. As it came; maybe nobody's.
    pub(crate) slug: String,
    /// What stands before the application's own paths, as callers write it: `/p/SLUG` (below the
    /// public URL's path), or nothing.
    pub(crate) prefix: String,
    /// What the application gets; `None` for `/p/SLUG` without a slash at its end.
    pub(crate) rest: Option<PathAndQuery>,
    /// The host as the caller named it.
    pub(crate) authority: Option<Authority>,
}

impl Address {
    /// Takes a bare `/p/SLUG` for the application's root.
    pub(crate) fn take_root(&mut self, query: Option<&str>) {
        self.rest = Some(with_query("/", query));
    }
}

/// Whose a request is, by its host, else by its path.
pub(crate) fn find(parts: &Parts, addresses: &Addresses) -> Owner {
    let authority = authority(parts);
    let host = authority.as_ref().and_then(|it| foreign(it, addresses));
    if let Some(host) = host {
        if let Some(label) = TunnelHost::label(&host) {
            return match label.parse() {
                Ok(TunnelHost::Terminals(key)) => Owner::Terminals(key),
                _ => by_host(Kind::Tunnel, label.to_owned(), parts, authority),
            };
        }
        if let Some(slug) = label(&host, addresses) {
            return by_host(Kind::Host, slug, parts, authority);
        }
    }
    let Some((slug, rest)) = by_path(parts.uri.path()) else {
        return Owner::Api;
    };
    let base = addresses.public_url.as_ref().map_or("", |url| url.path());
    Owner::Address(Address {
        kind: Kind::Path,
        slug: slug.to_owned(),
        prefix: format!("{base}{PREVIEW_PATH}{slug}"),
        rest: rest.map(|path| with_query(path, parts.uri.query())),
        authority,
    })
}

fn by_host(kind: Kind, slug: String, parts: &Parts, authority: Option<Authority>) -> Owner {
    Owner::Address(Address {
        kind,
        slug,
        prefix: String::new(),
        rest: Some(whole(parts)),
        authority,
    })
}

/// The name of a host in one spelling; `None` for the API's own.
fn foreign(authority: &Authority, addresses: &Addresses) -> Option<String> {
    let host = authority.host().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let api = addresses.public_url.as_ref().map(|url| url.host());
    (api.as_deref() != Some(host)).then(|| host.to_owned())
}

/// The name of a preview in a host; names below the configured domain are previews' and nothing
/// else.
fn label(host: &str, addresses: &Addresses) -> Option<String> {
    let below = |domain: &str| Some(host.strip_suffix(domain)?.strip_suffix('.')?.to_owned());
    if let Some(domain) = &addresses.preview_domain
        && let Some(label) = below(domain.name())
    {
        return Some(label);
    }
    below(LOCAL_DOMAIN).filter(|label| label.parse::<Slug>().is_ok())
}

/// `/p/SLUG/...` in its parts. Nothing is decoded or folded: other spellings are other paths.
fn by_path(path: &str) -> Option<(&str, Option<&str>)> {
    let after = path.strip_prefix(PREVIEW_PATH)?;
    match after.find('/') {
        _ if after.is_empty() => None,
        Some(0) => None,
        Some(end) => Some((&after[..end], Some(&after[end..]))),
        None => Some((after, None)),
    }
}

fn whole(parts: &Parts) -> PathAndQuery {
    match parts.uri.path_and_query() {
        Some(target) => target.clone(),
        None => PathAndQuery::from_static("/"),
    }
}

fn with_query(path: &str, query: Option<&str>) -> PathAndQuery {
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(text).expect("the end of a path, and its query, are a path and query")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const SLUG: &str = "p-abcdefghijklmnopqrst";

    fn addresses(domain: Option<&str>, public: Option<&str>) -> Addresses {
        Addresses {
            public_url: public.map(|url| url.parse().expect("a URL")),
            preview_domain: domain.map(|domain| domain.parse().expect("a domain")),
        }
    }

    fn owner(target: &str, host: &str, addresses: &Addresses) -> Owner {
        let request = Request::builder().uri(target).header("host", host);
        let parts = request.body(()).expect("a request").into_parts().0;
        find(&parts, addresses)
    }

    fn found(target: &str, host: &str, addresses: &Addresses) -> Option<Address> {
        match owner(target, host, addresses) {
            Owner::Address(address) => Some(address),
            Owner::Api => None,
            Owner::Terminals(key) => panic!("{key:?}"),
        }
    }

    fn rest(address: &Address) -> &str {
        address.rest.as_ref().map_or("", PathAndQuery::as_str)
    }

    #[test]
    fn hosts_are_found_in_every_spelling() {
        let addresses = addresses(Some("d.org"), None);
        for host in [
            format!("{SLUG}.d.org"),
            format!("{SLUG}.d.org:7070"),
            format!("{SLUG}.D.ORG."),
            format!("{}.d.org.:1", SLUG.to_uppercase()),
            format!("{SLUG}.localhost:7070"),
        ] {
            let address = found("/v1/keys?a=1", &host, &addresses).expect(&host);
            assert_eq!((address.slug.as_str(), address.kind), (SLUG, Kind::Host));
            assert_eq!(rest(&address), "/v1/keys?a=1");
            assert_eq!(address.prefix, "");
        }
    }

    #[test]
    fn hosts_that_are_no_previews_reach_the_api() {
        let addresses = addresses(Some("d.org"), Some("https://api.d.org"));
        for host in [
            "d.org",
            "api.d.org",
            "API.D.ORG.:443",
            "127.0.0.1:7070",
            "[::1]:7070",
            "localhost",
            "else.localhost",
            "p-abcdefghijklmnopqrst.d.org.evil.example",
            "p-abcdefghijklmnopqrstd.org",
        ] {
            assert_eq!(found("/v1/keys", host, &addresses), None, "{host}");
        }
    }

    #[test]
    fn every_other_name_below_the_domain_is_some_preview_s_and_never_the_api_s() {
        let addresses = addresses(Some("d.org"), None);
        for host in ["x.d.org", "a.p-abcdefghijklmnopqrst.d.org", ".d.org"] {
            let address = found("/v1/keys", host, &addresses);
            if let Some(address) = address {
                assert!(address.slug.parse::<Slug>().is_err(), "{host}");
            } else {
                assert_eq!(host, ".d.org");
            }
        }
    }

    #[test]
    fn hosts_of_tunnels_are_found_below_every_domain() {
        let key = "abcdefghijklmnopqrstuvwxyz";
        for addresses in [
            addresses(None, None),
            addresses(Some("d.org"), Some("https://api.d.org")),
            addresses(Some("tunnel.d.org"), None),
        ] {
            for host in [
                format!("8080-{key}.tunnel.d.org"),
                format!("8080-{key}.tunnel.d.org:7070"),
                format!("8080-{}.Tunnel.D.ORG.", key.to_uppercase()),
                format!("8080-{key}.tunnel.127.0.0.1:7070"),
                format!("8080-{key}.tunnel.localhost"),
            ] {
                let address = found("/p/x?a=1", &host, &addresses).expect(&host);
                assert_eq!(address.slug, format!("8080-{key}"), "{host}");
                assert_eq!((address.kind, rest(&address)), (Kind::Tunnel, "/p/x?a=1"));
            }
            let terminals = format!("13-pty-{key}.tunnel.d.org");
            assert!(matches!(
                owner("/pty/x", &terminals, &addresses),
                Owner::Terminals(_)
            ));
            for nobodys in ["0", "65536", "99999999999", "080"] {
                let host = format!("{nobodys}-{key}.tunnel.d.org");
                let address = found("/v1/keys", &host, &addresses).expect(&host);
                assert_eq!(address.kind, Kind::Tunnel, "{host}");
            }
            let host = format!("14-pty-{key}.tunnel.d.org");
            let address = found("/pty/x", &host, &addresses).expect(&host);
            assert_eq!(address.kind, Kind::Tunnel);
        }
        let own = addresses(None, Some("https://80-x.tunnel.d.org"));
        assert_eq!(found("/v1/keys", "80-x.tunnel.d.org", &own), None);
    }

    #[test]
    fn an_absolute_target_outranks_the_host_header() {
        let addresses = addresses(Some("d.org"), None);
        let target = format!("http://{SLUG}.d.org/x");
        let address = found(&target, "127.0.0.1:7070", &addresses).expect("a preview");
        assert_eq!((address.kind, rest(&address)), (Kind::Host, "/x"));
        let target = "http://127.0.0.1:7070/v1/keys";
        assert_eq!(found(target, &format!("{SLUG}.d.org"), &addresses), None);
    }

    #[test]
    fn paths_lose_their_prefix_and_nothing_else() {
        let addresses = addresses(None, Some("https://h/base"));
        for (target, expected) in [
            ("/p/s/", "/"),
            ("/p/s/a/b?c=d&e", "/a/b?c=d&e"),
            ("/p/s/../../v1/keys", "/../../v1/keys"),
            ("/p/s//evil.example/x", "//evil.example/x"),
            ("/p/s/%2e%2E/a%2Fb", "/%2e%2E/a%2Fb"),
            ("/p/s/?", "/?"),
            ("/p/s", ""),
            ("/p/s?x", ""),
        ] {
            let address = found(target, "h", &addresses).expect(target);
            assert_eq!((address.slug.as_str(), address.kind), ("s", Kind::Path));
            assert_eq!(rest(&address), expected, "{target}");
            assert_eq!(address.prefix, "/base/p/s");
        }
        let mut bare = found("/p/s?x=%20", "h", &addresses).expect("a preview");
        bare.take_root(Some("x=%20"));
        assert_eq!(rest(&bare), "/?x=%20");
        for target in ["/", "/p", "/p/", "/p//x", "//p/s/", "/%70/s/", "/v1/p/s/"] {
            assert_eq!(found(target, "h", &addresses), None, "{target}");
        }
    }
}
