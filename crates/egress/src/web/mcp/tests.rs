//! The bounds of what a sandbox may have of this process with its calls of MCP servers.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};

use super::super::world::{World, pieces, post, refusal, request, said};
use super::{ANSWER_MAX, EVENT_MAX, EVENTS, JSON, MESSAGE_MAX, MESSAGE_TIME, whole};
use crate::gate::{MESSAGES_MAX, STREAMS_MAX};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const DONE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
/// Nothing here takes a moment of the time that passes.
const MOMENT: Duration = Duration::from_secs(1);

/// The same message in so many bytes.
fn padded(text: &str, bytes: usize) -> String {
    format!("{text}{}", " ".repeat(bytes - text.len()))
}

#[tokio::test(start_paused = true)]
async fn a_message_has_a_mebibyte_at_most() {
    let world = World::new();
    let server = async |request: http::Request<hyper::body::Incoming>| {
        let body = request.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes().len(), MESSAGE_MAX, "no other comes here");
        said(JSON, whole(DONE))
    };
    let mut client = world
        .connect(move |request| Box::pin(server(request)))
        .await;
    let largest = client.send_request(post(padded(PING, MESSAGE_MAX))).await;
    assert_eq!(largest.expect("an answer").status(), StatusCode::OK);
    let mut client = world.connect(|_| async { panic!("not let through") }).await;
    let more = client
        .send_request(post(padded(PING, MESSAGE_MAX + 1)))
        .await;
    let refused = (
        StatusCode::PAYLOAD_TOO_LARGE,
        "gateway_too_large".to_owned(),
    );
    assert_eq!(refusal(more.expect("an answer")).await, refused);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_looked_through_has_eight_mebibytes_at_most() {
    let world = World::new();
    for (bytes, status) in [
        (ANSWER_MAX, StatusCode::OK),
        (ANSWER_MAX + 1, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answers = move |_| async move { said(JSON, whole(padded(DONE, bytes))) };
        let mut client = world.connect(answers).await;
        let answer = client.send_request(post(LIST)).await.expect("an answer");
        assert_eq!(answer.status(), status);
        // Where no list was asked for, it is not held, and has no bound.
        let mut client = world.connect(answers).await;
        let answer = client.send_request(post(PING)).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("all of it");
        assert_eq!(body.to_bytes().len(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_has_a_mebibyte_at_most_and_a_stream_as_many_as_it_likes() {
    let world = World::new();
    let (events, body) = pieces();
    let body = std::sync::Mutex::new(Some(body));
    let server = move |_| {
        let body = body.lock().expect("no panic").take().expect("asked once");
        async move { said(EVENTS, body) }
    };
    let mut client = world.connect(server).await;
    let stream = client.send_request(request(Method::GET, whole("")));
    let mut stream = stream.await.expect("an answer").into_body();
    let event = format!("data: {}\n\n", "x".repeat(EVENT_MAX - 8));
    for _ in 0..3 {
        events.send(event.clone().into()).await.expect("it is read");
        let mut seen = 0;
        while seen < event.len() {
            let frame = stream.frame().await.expect("more").expect("no error");
            seen += frame.into_data().expect("data").len();
        }
    }
    events
        .send(Bytes::from("x".repeat(EVENT_MAX + 1)))
        .await
        .expect("it is read");
    let broken = stream.frame().await.expect("an end");
    broken.expect_err("it must not look whole");
}

#[tokio::test(start_paused = true)]
async fn a_message_has_a_minute_to_come() {
    let world = World::new();
    let mut client = world.connect(|_| async { panic!("not let through") }).await;
    let (rest, body) = pieces();
    rest.send(Bytes::from_static(b"{")).await.expect("room");
    let begun = Instant::now();
    let slow = client.send_request(request(Method::POST, body)).await;
    let refused = (StatusCode::REQUEST_TIMEOUT, "gateway_slow".to_owned());
    assert_eq!(refusal(slow.expect("an answer")).await, refused);
    let took = begun.elapsed();
    assert!(
        took >= MESSAGE_TIME && took < MESSAGE_TIME + MOMENT,
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_messages_are_held_and_the_next_one_waits_for_its_turn() {
    let world = World::new();
    let answers = |_| async { said(JSON, whole(DONE)) };
    let mut slow = Vec::new();
    for _ in 0..MESSAGES_MAX {
        let mut client = world.connect(answers).await;
        let (rest, body) = pieces();
        let answer = tokio::spawn(async move {
            let answer = client.send_request(request(Method::POST, body)).await;
            answer.expect("an answer").status()
        });
        slow.push((rest, answer));
    }
    sleep(MOMENT).await;
    let mut client = world.connect(answers).await;
    let mut next = Box::pin(client.send_request(post(PING)));
    timeout(MESSAGE_TIME / 2, &mut next)
        .await
        .expect_err("it is not its turn");
    let (rest, answer) = slow.pop().expect("the last one");
    rest.send(PING.into()).await.expect("it is read");
    drop(rest);
    assert_eq!(answer.await.expect("task"), StatusCode::OK);
    let begun = Instant::now();
    assert_eq!(next.await.expect("an answer").status(), StatusCode::OK);
    assert!(begun.elapsed() < MOMENT);
    // Another sandbox's are its own.
    let mut other = World::new().connect(answers).await;
    let answer = timeout(MOMENT, other.send_request(post(PING))).await;
    assert_eq!(
        answer.expect("at once").expect("an answer").status(),
        StatusCode::OK
    );
    for (_rest, answer) in slow {
        assert_eq!(answer.await.expect("task"), StatusCode::REQUEST_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_streams_are_open_and_a_place_is_free_again_behind_one() {
    let world = World::new();
    // Open until the sandbox has had enough.
    let server = |_| async {
        let (events, body) = pieces();
        tokio::spawn(async move {
            while events
                .send(Bytes::from_static(b"data: beat\n\n"))
                .await
                .is_ok()
            {
                sleep(MOMENT).await;
            }
        });
        said(EVENTS, body)
    };
    let open = async || {
        let mut client = world.connect(server).await;
        let stream = client.send_request(request(Method::GET, whole("")));
        (client, stream.await.expect("an answer"))
    };
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let stream = open().await;
        assert_eq!(stream.1.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = (StatusCode::TOO_MANY_REQUESTS, "gateway_busy".to_owned());
    assert_eq!(refusal(open().await.1).await, refused);
    streams.pop();
    sleep(MOMENT * 5).await;
    let again = open().await;
    assert_eq!(again.1.status(), StatusCode::OK);
}
