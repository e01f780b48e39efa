//! Who may use a preview, and what of it the application sees.

use pinfold_sdk::PreviewAccess;
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, Response};

use crate::client::{Seen, both, by_host, by_path, client, code, send};
use crate::world::{KEY, World, within};

fn refused(status: u16, name: &str) -> (u16, String) {
    (status, name.to_owned())
}

/// The cookie that a browser would send back.
fn cookie(response: &Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().expect("text");
    for attribute in ["HttpOnly", "SameSite=Lax", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticated_preview_needs_a_key_that_the_application_does_not_see() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let stranger = world.stranger().await;
        let http = client(&world, &preview);
        for address in both(&world, &preview) {
            let ask = || http.get(format!("{address}/x"));
            assert_eq!(
                code(send(ask()).await).await,
                refused(401, "unauthenticated")
            );
            let wrong = ask().bearer_auth("pfk_wrong");
            assert_eq!(
                code(send(wrong).await).await,
                refused(401, "unauthenticated")
            );
            let foreign = ask().bearer_auth("the-application's-own");
            assert_eq!(
                code(send(foreign).await).await,
                refused(401, "unauthenticated")
            );
            let other = ask().bearer_auth(&stranger);
            assert_eq!(
                code(send(other).await).await,
                refused(403, "permission_denied")
            );
            let in_query = http.get(format!("{address}/x?pinfold_token={KEY}"));
            assert_eq!(code(send(in_query).await).await.0, 401);
            let may: [RequestBuilder; 3] = [
                ask().bearer_auth(KEY),
                ask().header("x-api-key", KEY),
                ask().header("x-pinfold-preview-token", KEY),
            ];
            for request in may {
                let seen = Seen::of(request).await;
                assert!(!seen.text().contains(KEY), "{}", seen.text());
                assert!(seen.header("authorization").is_empty());
                assert!(seen.header("x-api-key").is_empty());
            }
            // What is the application's own passes, beside what opens the preview.
            let both = ask().bearer_auth("the-app's").header("x-api-key", KEY);
            let seen = Seen::of(both).await;
            assert_eq!(seen.header("authorization"), ["Bearer the-app's"]);
            let both = ask().bearer_auth(KEY).header("x-api-key", "the-app's");
            let seen = Seen::of(both).await;
            assert_eq!(seen.header("x-api-key"), ["the-app's"]);
            assert!(seen.header("authorization").is_empty());
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_preview_needs_nothing_and_still_keeps_keys_from_the_application() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let stranger = world.stranger().await;
        let http = client(&world, &preview);
        for address in both(&world, &preview) {
            let ask = || http.get(format!("{address}/x"));
            Seen::of(ask()).await;
            for secret in [KEY, &stranger, "pfk_revoked-long-ago", "pvt_of-another"] {
                let seen = Seen::of(ask().bearer_auth(secret).header("x-api-key", secret)).await;
                assert!(!seen.text().contains(secret), "{}", seen.text());
                let raw = ask().header("authorization", secret);
                assert!(!Seen::of(raw).await.text().contains(secret));
            }
            let own = ask().bearer_auth("own").header("x-api-key", "own-2");
            let seen = Seen::of(own).await;
            assert_eq!(seen.header("authorization"), ["Bearer own"]);
            assert_eq!(seen.header("x-api-key"), ["own-2"]);
            let basic = ask().basic_auth("user", Some("password"));
            assert!(Seen::of(basic).await.header("authorization")[0].starts_with("Basic "));
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_preview_only_and_is_shown_once() {
    let world = World::with_application().await;
    within(async {
        let created = world.preview(PreviewAccess::Token).await;
        let token = created.token.expect("a token");
        assert!(token.starts_with("pvt_"));
        let again = world.preview(PreviewAccess::Token).await;
        assert_eq!(
            (again.preview.clone(), again.token),
            (created.preview.clone(), None)
        );
        let other = world.preview_of(9000, PreviewAccess::Token).await;
        let other = other.token.expect("a token");
        let preview = created.preview;
        let http = client(&world, &preview);
        for address in both(&world, &preview) {
            let ask = || http.get(format!("{address}/x?a=1"));
            assert_eq!(
                code(send(ask()).await).await,
                refused(401, "unauthenticated")
            );
            let wrong = ask().bearer_auth(&other);
            assert_eq!(
                code(send(wrong).await).await,
                refused(401, "unauthenticated")
            );
            for request in [
                ask().bearer_auth(&token),
                ask().header("x-pinfold-preview-token", &token),
                http.get(format!("{address}/x?pinfold_token={token}&a=1")),
                ask().bearer_auth(KEY),
            ] {
                let seen = Seen::of(request).await;
                assert_eq!(seen.0["target"], "/x?a=1");
                assert!(!seen.text().contains("pvt_"), "{}", seen.text());
            }
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_session_for_a_token_and_loses_the_token_from_its_address() {
    let world = World::with_application().await;
    within(async {
        let created = world.preview(PreviewAccess::Token).await;
        let token = created.token.expect("a token");
        let preview = created.preview;
        let http = client(&world, &preview);
        let other = world.preview_of(9000, PreviewAccess::Token).await.preview;
        for address in both(&world, &preview) {
            let request = http.get(format!("{address}/x?a=1&pinfold_token={token}&b"));
            let shown = send(request.header("accept", "text/html,*/*")).await;
            assert_eq!(shown.status(), 303);
            let cookie = cookie(&shown);
            let target = shown.headers()[LOCATION].to_str().expect("text").to_owned();
            assert!(target.ends_with("/x?a=1&b"), "{target}");
            let request = http
                .get(format!("{address}/x"))
                .header("cookie", format!("a=1; {cookie}"));
            let seen = Seen::of(request).await;
            assert_eq!(seen.header("cookie"), ["a=1"]);
            // A session is one preview's, and only as it was given.
            let elsewhere = by_path(&world, &other);
            let request = http.get(format!("{elsewhere}/x")).header("cookie", &cookie);
            assert_eq!(send(request).await.status(), 401);
            let changed = format!("{}0", &cookie[..cookie.len() - 1]);
            if changed != cookie {
                let request = http.get(format!("{address}/x")).header("cookie", changed);
                assert_eq!(send(request).await.status(), 401);
            }
        }
        // The way back never leads to another host.
        let host = by_host(&world, &preview);
        let request = http.get(format!("{host}//evil.example/?pinfold_token={token}"));
        let shown = send(request.header("accept", "text/html")).await;
        let target = shown.headers()[LOCATION].to_str().expect("text");
        assert_eq!(target, format!("{host}//evil.example/"));
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_a_preview_once_and_its_session_ends_with_the_key() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let http = client(&world, &preview);
        let request = pinfold_sdk::CreateKey {
            name: "short".into(),
            role: pinfold_sdk::Role::Member,
            kind: None,
            project_id: None,
            expires_in_ms: None,
            scopes: None,
            quota: Default::default(),
        };
        let key = world.client.keys().create(&request).await.expect("a key");
        let url = format!("http://{}", world.address);
        let member = pinfold_sdk::Client::new(&url, &key.secret).expect("a client");
        let link = member
            .previews()
            .link(&preview.id, None)
            .await
            .expect("a link");
        assert!(
            link.url.starts_with(&by_host(&world, &preview)),
            "{}",
            link.url
        );
        let opened = send(http.get(&link.url)).await;
        assert_eq!(opened.status(), 303);
        let cookie = cookie(&opened);
        let address = by_host(&world, &preview);
        let ask = || http.get(format!("{address}/x")).header("cookie", &cookie);
        assert!(Seen::of(ask()).await.header("cookie").is_empty());
        let again = send(http.get(&link.url)).await;
        assert_eq!(code(again).await, refused(401, "unauthenticated"));
        // Whoever is in already is not thrown out by an old link.
        let seen = Seen::of(http.get(&link.url).header("cookie", &cookie)).await;
        assert_eq!(seen.0["target"], "/");
        world
            .client
            .keys()
            .revoke(&key.key.id)
            .await
            .expect("revoked");
        assert_eq!(send(ask()).await.status(), 401);
    })
    .await;
    world.end().await;
}
