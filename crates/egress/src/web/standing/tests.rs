//! Calls whose gateway is changed while they are under way.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::whole;
use super::super::world::{World, pieces, post, refusal, request, said};
use super::PATIENCE;
use crate::gateways::NoCall;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A call that has arrived where nobody answers it.
async fn unanswered(world: &World) -> JoinHandle<hyper::Result<Response<Incoming>>> {
    let (asked, mut heard) = mpsc::channel::<()>(1);
    let server = move |_| {
        let asked = asked.clone();
        async move {
            asked.send(()).await.expect("the test waits");
            std::future::pending().await
        }
    };
    let mut client = world.connect(server).await;
    let answer = tokio::spawn(async move { client.send_request(post(PING)).await });
    heard.recv().await.expect("it arrived");
    answer
}

#[tokio::test(start_paused = true)]
async fn an_answer_breaks_off_where_its_call_would_be_another_now() {
    let gone: fn(&mut Result<_, NoCall>) = |call| *call = Err(NoCall::Gone);
    let moved: fn(&mut Result<crate::gateways::Call, _>) = |call| {
        let call = call.as_mut().expect("it is there");
        call.endpoint = "https://elsewhere.example/mcp".parse().expect("valid");
    };
    for change in [gone, moved] {
        let world = World::new();
        let (bytes, body) = pieces();
        let body = std::sync::Mutex::new(Some(body));
        let server = move |_| {
            let body = body.lock().expect("no panic").take().expect("asked once");
            async move { said("text/plain", body) }
        };
        let mut client = world.connect(server).await;
        let answer = client.send_request(request(Method::GET, whole(""))).await;
        let mut answer = answer.expect("an answer").into_body();
        let next = async |text: &'static str, answer: &mut Incoming| {
            bytes
                .send(Bytes::from_static(text.as_bytes()))
                .await
                .expect("it is read");
            let frame = answer.frame().await.expect("more").expect("no error");
            assert_eq!(frame.into_data().expect("data"), text);
        };
        next("one", &mut answer).await;
        // Somebody of the same project has changed something else.
        world.change(|_| {});
        next("two", &mut answer).await;
        world.change(change);
        let end = answer.frame().await.expect("not as if it were whole");
        end.expect_err("broken off");
        // The server behind it has lost it as well.
        bytes.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_outlives_a_database_that_is_busy_for_a_moment_and_no_longer() {
    let world = World::new();
    let mut granted = Err(NoCall::Gone);
    world.change(|call| granted = call.clone());
    let mut answer = unanswered(&world).await;
    let busy = || Err(NoCall::Unavailable("try again".to_owned()));
    world.change(|call| *call = busy());
    tokio::time::sleep(PATIENCE / 2).await;
    world.change(|call| *call = granted);
    tokio::time::sleep(PATIENCE * 2).await;
    assert!(!answer.is_finished(), "it goes on");
    world.change(|call| *call = busy());
    let within = tokio::time::timeout(PATIENCE * 2, &mut answer);
    let answer = within
        .await
        .expect("in time")
        .expect("task")
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_yet_is_told_why_it_gets_none() {
    let world = World::new();
    let answer = unanswered(&world).await;
    world.change(|call| *call = Err(NoCall::Gone));
    let answer = answer.await.expect("task").expect("an answer");
    let refused = (StatusCode::FORBIDDEN, "gateway_changed".to_owned());
    assert_eq!(refusal(answer).await, refused);
}
