//! Which requests are previews', and which are the API's.

use pinfold_sdk::PreviewAccess;

use crate::client::{Seen, by_host, client, raw, send};
use crate::world::{DOMAIN, KEY, World, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_s_host_never_reaches_the_api_and_the_api_s_never_a_preview() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        assert_eq!(preview.url, format!("{}/", by_host(&world, &preview)));
        let routes = [
            "/v1/sandboxes",
            "/healthz",
            "/metrics",
            "/docs",
            "/v1/openapi.json",
        ];
        for route in routes {
            let host = by_host(&world, &preview);
            let seen = Seen::of(http.get(format!("{host}{route}")).bearer_auth(KEY)).await;
            assert_eq!(seen.0["target"], route);
        }
        let slug = &preview.slug;
        let name = format!("{slug}.{DOMAIN}");
        let inside = "\"target\": \"/healthz\"";
        let outside = "\"status\":\"ok\"";
        for (host, wanted) in [
            (name.clone(), inside),
            (name.to_uppercase(), inside),
            (format!("{name}.:9"), inside),
            (format!("{slug}.localhost:7070"), inside),
            (
                format!("p-aaaaaaaaaaaaaaaaaaaa.{DOMAIN}"),
                "preview_not_found",
            ),
            (format!("api.{DOMAIN}"), "preview_not_found"),
            (format!("x.{name}"), "preview_not_found"),
            (DOMAIN.to_owned(), outside),
            (format!("{name}.evil.example"), outside),
            ("localhost".to_owned(), outside),
            ("api.localhost".to_owned(), outside),
        ] {
            let request =
                format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = raw(world.address, &request, "").await;
            assert!(answer.contains(wanted), "{host}: {answer}");
        }
        // An absolute target names the host, whatever the header says.
        for (target, host, wanted) in [
            (format!("http://{name}/healthz"), "127.0.0.1", inside),
            ("http://127.0.0.1/healthz".to_owned(), &*name, outside),
        ] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = raw(world.address, &request, "").await;
            assert!(answer.contains(wanted), "{target}: {answer}");
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_slugs_are_not_found_at_either_address() {
    let world = World::new().await;
    within(async {
        let http = reqwest::Client::new();
        let url = format!("http://{}", world.address);
        for slug in [
            "p-aaaaaaaaaaaaaaaaaaaa",
            "x",
            "..",
            "P-AAAAAAAAAAAAAAAAAAAA",
        ] {
            let answer = send(http.get(format!("{url}/p/{slug}/x"))).await;
            assert_eq!(answer.status(), 404, "{slug}");
        }
        for target in ["/p", "/p/", "/p//", "/p/x"] {
            let answer = send(http.get(format!("{url}{target}"))).await;
            assert_eq!(answer.status(), 404, "{target}");
        }
    })
    .await;
    world.end().await;
}
