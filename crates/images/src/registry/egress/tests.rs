//! What is refused, what is reached, and through what.

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

async fn opened(
    proxies: &Matcher,
    reference: &str,
    reach: Reach,
) -> Result<(Client, Guard), PullError> {
    let reference = reference.parse().expect("a reference");
    open_by(proxies, &reference, Scheme::Https, reach).await
}

/// No proxy at all, whatever the environment of the tests says.
fn no_proxies() -> Matcher {
    Matcher::builder().build()
}

#[tokio::test]
async fn a_proxy_for_the_other_scheme_is_no_proxy_of_this_registry() {
    let proxies = Matcher::builder().http("http://proxy.example:3128").build();
    let (_, guard) = opened(&proxies, "192.0.2.7/a", Reach::Outside)
        .await
        .expect("open");
    assert_eq!(guard.place, Place::Outside, "resolved, pinned, guarded");
}

#[tokio::test]
async fn what_is_behind_a_proxy_stays_behind_it_wherever_it_leads() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = listener.local_addr().expect("address");
    let proxies = Matcher::builder()
        .https(format!("http://ann:secret@{address}"))
        .no("10.0.0.0/8")
        .build();
    let (_, direct) = opened(&proxies, "10.1.2.3/a", Reach::Anywhere)
        .await
        .expect("open");
    assert_eq!(direct.place, Place::Inside, "excepted by the operator");

    let (client, guard) = opened(&proxies, "reg.example/a", Reach::Outside)
        .await
        .expect("open");
    assert_eq!(guard.place, Place::Proxied);
    let led = tokio::spawn(client.get("https://10.1.2.3/token").send());
    let (mut connection, _) = tokio::time::timeout(CONNECT_MAX, listener.accept())
        .await
        .expect("the proxy is asked")
        .expect("accept");
    let mut head = vec![0; 1024];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        let read = tokio::io::AsyncReadExt::read(&mut connection, &mut head[length..]).await;
        match read.expect("read") {
            0 => break,
            more => length += more,
        }
    }
    led.abort();
    let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
    assert!(head.starts_with("connect 10.1.2.3:443 "), "{head}");
    assert!(head.contains("proxy-authorization: basic "), "{head}");
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_the_machine_s_secrets() {
    assert!(refuses(
        Place::Proxied,
        Scheme::Http,
        "http://169.254.169.254/"
    ));
    assert!(!refuses(Place::Proxied, Scheme::Https, "https://10.1.2.3/"));
    let proxies = Matcher::builder().all("http://proxy.example:3128").build();
    for registry in ["169.254.169.254/a", "0xa9.0xfe.0xa9.0xfe/a"] {
        let refused = opened(&proxies, registry, Reach::Anywhere).await;
        assert!(
            matches!(refused, Err(PullError::Unreachable { .. })),
            "{registry}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_not_passed_by() {
    let proxies = Matcher::builder()
        .all("socks5://proxy.example:1080")
        .build();
    let refused = opened(&proxies, "192.0.2.7/a", Reach::Anywhere).await;
    assert!(
        refused.expect_err("refused").to_string().contains("proxy"),
        "and said"
    );
}

#[tokio::test]
async fn only_who_may_reaches_registries_inside() {
    let behind = Matcher::builder().all("http://proxy.example:3128").build();
    for (proxies, registry) in [
        (&no_proxies(), "127.0.0.1:5000/a"),
        (&no_proxies(), "localhost:5000/a"),
        (&no_proxies(), "10.1.2.3/a"),
        (&behind, "10.1.2.3/a"),
        (&behind, "0xa.1.2.3/a"),
        (&behind, "127.1:5000/a"),
        (&behind, "LOCALHOST:5000/a"),
        (&behind, "127.0.0.1:5000/a"),
    ] {
        let refused = opened(proxies, registry, Reach::Outside).await;
        assert!(
            matches!(refused, Err(PullError::Inside { .. })),
            "{registry}: {refused:?}"
        );
        let allowed = opened(proxies, registry, Reach::Anywhere).await;
        assert!(allowed.is_ok(), "{registry}: {allowed:?}");
    }
}

async fn resolved(place: Place) -> Result<usize, String> {
    let guard = Guard {
        place,
        scheme: Scheme::Https,
    };
    let name = "localhost".parse().expect("a name");
    let found = Guarded(guard).resolve(name).await;
    found
        .map(Iterator::count)
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    let refused = resolved(Place::Outside).await.expect_err("inside");
    assert!(refused.contains("inside"), "{refused}");
    assert!(resolved(Place::Inside).await.expect("allowed") > 0);
}

#[tokio::test]
async fn the_client_of_a_registry_outside_resolves_no_name_inside() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let port = listener.local_addr().expect("address").port();
    let (client, _) = opened(&no_proxies(), "192.0.2.7/a", Reach::Outside)
        .await
        .expect("open");
    let asked = client.get(format!("https://localhost:{port}/")).send();
    let error = tokio::time::timeout(CONNECT_MAX, asked)
        .await
        .expect("refused at once")
        .expect_err("refused");
    let why = root_cause(&error);
    assert!(why.contains("inside this server's network"), "{why}");
}
