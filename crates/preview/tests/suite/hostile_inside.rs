//! Applications that try to harm whoever looks at them.

use std::time::Duration;

use futures::StreamExt;
use pinfold_sdk::PreviewAccess;

use crate::client::{Seen, by_path, client, code, send};
use crate::world::{World, within};

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_or_no_http_are_refused_and_hurt_nobody() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let mut under_way = send(http.get(format!("{address}/events")))
            .await
            .bytes_stream();
        under_way.next().await.expect("more").expect("unbroken");
        for path in [
            "huge/header",
            "endless/headers",
            "many/headers",
            "garbage",
            "split",
            "two/lengths",
            "unasked/upgrade",
            "close",
        ] {
            let answer = send(http.get(format!("{address}/raw/{path}"))).await;
            assert!(!answer.headers().contains_key("set-cookie"), "{path}");
            assert_eq!(
                code(answer).await,
                (502, "preview_unavailable".into()),
                "{path}"
            );
            Seen::of(http.get(format!("{address}/x"))).await;
        }
        send(http.post(format!("{address}/release"))).await;
        let rest = under_way.next().await.expect("more").expect("unbroken");
        assert_eq!(rest, "data: second\n\n");
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_come_end_in_time() {
    let world = World::with_head_timeout(Duration::from_secs(2)).await;
    within(async {
        world.start_application().await;
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        for path in ["silent", "dripping/headers", "endless/continues"] {
            let answer = send(http.get(format!("{address}/raw/{path}"))).await;
            assert_eq!(code(answer).await, (504, "timeout".into()), "{path}");
        }
        // A body may take longer than a head.
        let pieces = futures::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            (n < 8).then_some((Ok::<_, std::io::Error>("piece"), n + 1))
        });
        let body = reqwest::Body::wrap_stream(pieces);
        let seen = Seen::of(http.put(format!("{address}/upload")).body(body)).await;
        assert_eq!(seen.0["length"], 40);
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_lie_about_their_length_mislead_nobody() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let chunked = send(http.get(format!("{address}/raw/length/and/chunks"))).await;
        if chunked.status() == 200 {
            assert_eq!(chunked.text().await.expect("whole"), "hello");
        } else {
            assert_eq!(chunked.status(), 502);
        }
        let short = send(http.get(format!("{address}/raw/short/body"))).await;
        assert!(
            short.bytes().await.is_err(),
            "a cut body does not pass for a whole one"
        );
        // What an application says unasked is nobody's answer.
        for _ in 0..5 {
            let one = send(http.get(format!("{address}/raw/two/answers"))).await;
            assert_eq!(one.text().await.expect("whole"), "one");
            let next = Seen::of(http.get(format!("{address}/next"))).await;
            assert_eq!(next.0["target"], "/next");
        }
    })
    .await;
    world.end().await;
}
