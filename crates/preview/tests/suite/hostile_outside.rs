//! Callers that try to get past the proxy, or to have two requests taken for one.

use pinfold_sdk::PreviewAccess;

use crate::client::raw;
use crate::world::{KEY, World, within};

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_one_request_inside() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let path = format!("/p/{}", preview.slug);
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        let length = smuggled.len();
        let cases = [
            // Both framings.
            format!(
                "POST {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"
            ),
            // Two lengths.
            format!(
                "POST {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\
                 Content-Length: {length}\r\n\r\n{smuggled}"
            ),
            // A coding that is none, and one in disguise.
            format!(
                "POST {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Transfer-Encoding: xchunked\r\nContent-Length: {length}\r\n\r\n{smuggled}"
            ),
            format!(
                "POST {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n\r\n{smuggled}"
            ),
            format!(
                "POST {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close, content-length\r\n\
                 Content-Length: {length}\r\n\r\n{smuggled}"
            ),
            // A body where none is expected.
            format!(
                "GET {path}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Content-Length: {length}\r\n\r\n{smuggled}"
            ),
        ];
        for request in &cases {
            let answer = raw(world.address, request, "").await;
            assert!(
                !answer.contains("\"target\": \"/smuggled\""),
                "{request}\n{answer}"
            );
            let once = answer.matches("HTTP/1.1 ").count();
            assert_eq!(once, 1, "{request}\n{answer}");
            if answer.starts_with("HTTP/1.1 200") {
                let read = format!("\"length\": {length}");
                assert!(answer.contains(&read), "{request}\n{answer}");
            }
            // The next request on the same connection inside is answered as itself.
            let next = format!("GET {path}/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let answer = raw(world.address, &next, "").await;
            assert!(
                answer.contains("\"target\": \"/next\""),
                "{request}\n{answer}"
            );
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_application_leaves_unread_is_nobody_s_request() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let path = format!("/p/{}", preview.slug);
        // Its answer takes a while, so that the next request is on its way before it comes.
        let smuggled = "GET /slow?evil HTTP/1.1\r\nHost: x\r\n\r\n";
        let length = smuggled.len();
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{smuggled}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        ] {
            for method in ["GET", "POST"] {
                let request = format!(
                    "{method} {path}/unread HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{framed}"
                );
                let answer = raw(world.address, &request, "").await;
                assert!(answer.ends_with("unread"), "{request}\n{answer}");
                let next =
                    format!("GET {path}/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let answer = raw(world.address, &next, "").await;
                assert!(
                    answer.contains("\"target\": \"/next\""),
                    "{request}\n{answer}"
                );
            }
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_refused_or_harmless() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let slug = &preview.slug;
        let close = "Connection: close\r\n\r\n";
        for (request, wanted) in [
            (
                format!("GET /p/{slug}/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n{close}"),
                "400",
            ),
            (
                format!(
                    "CONNECT {slug}.localhost:80 HTTP/1.1\r\nHost: {slug}.localhost\r\n{close}"
                ),
                "405",
            ),
            (
                format!("GET /p/{slug}/../../v1/sandboxes HTTP/1.1\r\nHost: a\r\n{close}"),
                "/../../v1/sandboxes",
            ),
            (
                format!("GET http://a/p/{slug}/x HTTP/1.1\r\nHost: b\r\n{close}"),
                "\"a\"",
            ),
            (
                format!("GET /p/{slug}/a//x HTTP/1.1\r\nHost: a\r\n{close}"),
                "\"target\": \"/a//x\"",
            ),
            (
                format!("GET /p/{slug}/x HTTP/1.0\r\n\r\n"),
                "\"target\": \"/x\"",
            ),
            (
                format!("OPTIONS * HTTP/1.1\r\nHost: {slug}.localhost\r\n{close}"),
                "\"target\": \"*\"",
            ),
            (
                format!(
                    "GET /p/{slug}/{} HTTP/1.1\r\nHost: a\r\n{close}",
                    "a".repeat(20_000)
                ),
                "414",
            ),
        ] {
            let answer = raw(world.address, &request, "").await;
            assert!(answer.contains(wanted), "{request}\n{answer}");
        }
        let many = format!("x-api-key: {KEY}\r\n").repeat(50);
        let request = format!("GET /p/{slug}/x HTTP/1.1\r\nHost: a\r\n{many}{close}");
        let answer = raw(world.address, &request, "").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    })
    .await;
    world.end().await;
}
