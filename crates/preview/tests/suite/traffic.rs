//! What passes, both ways and at both addresses.

use axum::http::{Request, Version};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinfold_sdk::PreviewAccess;
use reqwest::{Body, Method, RequestBuilder};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{Seen, both, by_host, by_path, client, keyed, send};
use crate::world::{KEY, World, within};

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn method_target_headers_and_body_reach_the_application_and_its_answer_comes_back() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let http = client(&world, &preview);
        for address in both(&world, &preview) {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let request = http.request(method.clone(), format!("{address}/a%2Fb/c?d=%20&e"));
                let request = request
                    .header("x-own", "kept")
                    .header("cookie", "own=1; b=2");
                let request = match method {
                    Method::GET | Method::OPTIONS => request,
                    _ => request.body("a body"),
                };
                let seen = Seen::of(keyed(request)).await;
                assert_eq!(seen.0["method"], method.as_str());
                assert_eq!(seen.0["target"], "/a%2Fb/c?d=%20&e");
                assert_eq!(seen.header("x-own"), ["kept"]);
                assert_eq!(seen.header("cookie"), ["own=1; b=2"]);
                assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
                assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
                assert_eq!(seen.header("x-forwarded-host"), seen.header("host"));
            }
            let answer = send(keyed(http.get(format!("{address}/teapot")))).await;
            assert_eq!(answer.status(), 418);
            assert_eq!(answer.headers()["x-own"], "2");
            assert_eq!(answer.headers()["x-request-id"], "of-the-app");
            assert!(!answer.headers().contains_key("x-hop"));
            assert_eq!(answer.text().await.expect("text"), "short and stout");
            let head = send(keyed(http.head(format!("{address}/teapot")))).await;
            assert_eq!(head.headers()["content-length"], "15");
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_address_keeps_its_application_below_its_prefix() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let (path, host) = (by_path(&world, &preview), by_host(&world, &preview));
        let prefix = format!("/p/{}", preview.slug);
        let answer = send(http.get(format!("{path}/teapot"))).await;
        let headers = answer.headers();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, [&format!("a=1; Path={prefix}/")]);
        assert_eq!(headers["location"], format!("{prefix}/elsewhere").as_str());
        assert!(!headers.contains_key("service-worker-allowed"));
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("sandbox ") && !policy.contains("same-origin"));
        let seen = Seen::of(http.get(format!("{path}/x"))).await;
        assert_eq!(seen.header("x-forwarded-prefix"), [prefix.as_str()]);
        let page = |request: RequestBuilder| request.header("accept", "text/html,*/*;q=0.8");
        let bare = send(page(http.get(format!("{path}?a=1")))).await;
        assert_eq!(bare.status(), 308);
        assert_eq!(
            bare.headers()["location"],
            format!("{prefix}/?a=1").as_str()
        );
        assert_eq!(bare.headers()["cache-control"], "no-store");
        let head = send(page(http.head(path.as_str()))).await;
        assert_eq!(head.status(), 308);
        // Programs need not follow a redirect, and few send a body again behind one.
        for method in [Method::GET, Method::POST, Method::PUT, Method::OPTIONS] {
            let request = http.request(method.clone(), format!("{path}?a=1&b=%20"));
            let seen = Seen::of(request.body("a body")).await;
            assert_eq!(seen.0["method"], method.as_str());
            assert_eq!(seen.0["target"], "/?a=1&b=%20");
            assert_eq!(seen.0["length"], 6);
        }
        let worker = http
            .get(format!("{path}/sw.js"))
            .header("service-worker", "script");
        assert_eq!(send(worker).await.status(), 403);

        let answer = send(http.get(format!("{host}/teapot"))).await;
        let headers = answer.headers();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1; Path=/"]);
        assert_eq!(headers["location"], "/elsewhere");
        assert_eq!(headers["service-worker-allowed"], "/");
        assert!(!headers.contains_key("content-security-policy"));
        let seen = Seen::of(http.get(format!("{host}/x"))).await;
        assert!(seen.header("x-forwarded-prefix").is_empty());
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_whole_both_ways() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let piece: Bytes = (0..=255u8).cycle().take(65536).collect::<Vec<_>>().into();
        const PIECES: usize = 600;
        let mut digest = Sha256::new();
        (0..PIECES).for_each(|_| digest.update(&piece));
        let whole = hex(digest.finalize());
        for address in both(&world, &preview) {
            for kind in ["download", "sized"] {
                let request = http.get(format!("{address}/{kind}?{PIECES}"));
                let mut body = send(request).await.bytes_stream();
                let mut digest = Sha256::new();
                while let Some(bytes) = body.next().await {
                    digest.update(bytes.expect("unbroken"));
                }
                assert_eq!(hex(digest.finalize()), whole, "{kind}");
            }
            let pieces = std::iter::repeat_n(piece.clone(), PIECES).map(Ok::<_, std::io::Error>);
            let chunked = Body::wrap_stream(futures::stream::iter(pieces.collect::<Vec<_>>()));
            let sized = Body::from(piece.repeat(PIECES));
            for body in [chunked, sized] {
                let seen = Seen::of(http.put(format!("{address}/upload")).body(body)).await;
                assert_eq!(seen.0["sha256"], whole);
                assert_eq!(seen.0["length"], PIECES * 65536);
            }
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_as_they_come() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        // The second event only comes after the first has been seen.
        let mut events = send(http.get(format!("{address}/events")))
            .await
            .bytes_stream();
        let mut text = String::new();
        while !text.contains("first") {
            let bytes = events.next().await.expect("more").expect("unbroken");
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        assert!(!text.contains("second"));
        send(http.post(format!("{address}/release"))).await;
        while let Some(bytes) = events.next().await {
            text.push_str(&String::from_utf8_lossy(&bytes.expect("unbroken")));
        }
        assert_eq!(text, "data: first\n\ndata: second\n\n");
        // Each piece is sent after the answer to the one before has been seen.
        let (pieces, source) = tokio::sync::mpsc::channel::<Bytes>(1);
        let source = futures::stream::unfold(source, |mut source| async move {
            let piece = source.recv().await?;
            Some((Ok::<_, std::io::Error>(piece), source))
        });
        pieces.send(Bytes::from_static(b"one")).await.expect("open");
        let request = http
            .post(format!("{address}/duplex"))
            .body(Body::wrap_stream(source));
        let mut answers = send(request).await.bytes_stream();
        for (answer, next) in [("ONE", "two"), ("TWO", "three"), ("THREE", "")] {
            let bytes = answers.next().await.expect("more").expect("unbroken");
            assert_eq!(bytes, answer);
            if !next.is_empty() {
                pieces.send(Bytes::from(next)).await.expect("open");
            }
        }
        drop(pieces);
        assert!(answers.next().await.is_none());
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_at_once_are_all_answered_and_connections_are_used_again() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let mut asked = JoinSet::new();
        for n in 0..50 {
            let request = http
                .post(format!("{address}/{n}"))
                .body(vec![b'x'; n * 1000]);
            asked.spawn(async move { (n, Seen::of(request).await) });
        }
        for (n, seen) in asked.join_all().await {
            assert_eq!(seen.0["target"], format!("/{n}"));
            assert_eq!(seen.0["length"], n * 1000);
        }
        let first = Seen::of(http.get(format!("{address}/a"))).await;
        let mut same = 0;
        for _ in 0..5 {
            let next = Seen::of(http.get(format!("{address}/b"))).await;
            same += usize::from(next.0["connection"] == first.0["connection"]);
        }
        assert!(same > 0, "no connection was used again");
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_from_outside_becomes_http_1_inside() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let stream = TcpStream::connect(world.address).await.expect("connected");
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = Request::post(format!("{}/x?y", by_path(&world, &preview)))
            .header("authorization", format!("Bearer {KEY}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::new(Bytes::from("a body")))
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.version(), Version::HTTP_2);
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let seen = Seen(serde_json::from_slice(&body).expect("JSON"));
        assert_eq!(seen.0["length"], 6);
        assert_eq!(seen.header("cookie"), ["a=1; b=2"]);
        assert_eq!(seen.header("host"), [world.address.to_string().as_str()]);
        drop(sender);
        let _ = connection.await;
    })
    .await;
    world.end().await;
}
