//! The listener under slow, silent and stubborn clients, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::{SinkExt, StreamExt};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Draining, Facade, ServeLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far above what anything here takes; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

fn app() -> Router {
    let endless = |draining: Draining| async move {
        let first = Event {
            name: "output",
            id: Some("1".into()),
            data: "{}".into(),
        };
        let events = futures::stream::iter([first]).chain(futures::stream::pending());
        sse::respond(events, draining)
    };
    let echo = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Binary(_)) && socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    };
    let router = Router::new()
        .route("/", get(|| async { "up" }))
        .route("/endless", get(endless))
        .route("/echo", get(echo))
        .route("/stuck", get(std::future::pending::<&'static str>));
    let facade = Facade {
        name: "test",
        render: |failure, _| failure.status().into_response(),
        elsewhere: &[],
    };
    facade.wrap(router)
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<usize>,
}

async fn start(limits: ServeLimits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let served = tokio::spawn(serve(listener, app(), stopped, limits));
    Server {
        address,
        stop,
        served,
    }
}

async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(text.as_bytes()).await.expect("sent");
    stream
}

async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let read = async {
        while !text.contains(wanted) {
            let count = stream.read(&mut buffer).await.expect("readable");
            assert!(count > 0, "closed before {wanted:?}: {text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).expect("ASCII"));
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("in time");
    text
}

/// Reads to the end of the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(DEADLINE, read)
        .await
        .expect("the server closes in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn clients_that_never_finish_a_head_are_closed() {
    let limits = ServeLimits {
        head_timeout: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let server = start(limits).await;
    for beginning in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n",
    ] {
        let mut stream = send(server.address, beginning).await;
        assert!(
            !read_to_end(&mut stream).await.contains("200 OK"),
            "{beginning:?}"
        );
    }
}

#[tokio::test]
async fn a_head_beyond_the_bound_is_refused() {
    let server = start(ServeLimits::default()).await;
    let big = "x".repeat(80 << 10);
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-big: {big}\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    // The server may answer and close before all of it is written.
    let _ = stream.write_all(request.as_bytes()).await;
    assert!(
        read_until(&mut stream, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 431")
    );
}

#[tokio::test]
async fn a_connection_outlives_a_body_that_nobody_wanted_and_says_where_it_does_not() {
    let server = start(ServeLimits::default()).await;
    let head = |length: usize| {
        format!("POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut stream = send(server.address, &head(5)).await;
    // Answered before its body came, this request would have cost the connection.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rest = "smallGET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(rest.as_bytes()).await.expect("sent");
    let answers = read_until(&mut stream, "\r\n\r\nup").await;
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers}");
    assert!(!answers.contains("connection: close"), "{answers}");

    let mut stream = send(server.address, &head(1 << 30)).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn draining_ends_streams_cleanly_and_waits_for_them() {
    let server = start(ServeLimits::default()).await;
    let mut stream = send(server.address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = read_until(&mut stream, "event: output\nid: 1\ndata: {}\n\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    let body = head.split("\r\n\r\n").nth(1).expect("a body");
    assert!(
        !body.replace("\r\n", "").contains('\r'),
        "LF only: {body:?}"
    );
    server.stop.cancel();
    // The last chunk of a chunked body: the stream was ended, not cut.
    assert!(read_to_end(&mut stream).await.ends_with("0\r\n\r\n"));
    let cut = tokio::time::timeout(DEADLINE, server.served).await;
    assert_eq!(cut.expect("in time").expect("no panic"), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_drain_in_time_is_cut_and_counted() {
    let limits = ServeLimits {
        drain: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let server = start(limits).await;
    let mut busy = send(server.address, "GET /stuck HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // An answer on a later connection shows that the earlier one was accepted.
    let mut other = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut other, "up").await;
    server.stop.cancel();
    let cut = tokio::time::timeout(DEADLINE, server.served).await;
    assert_eq!(cut.expect("in time").expect("no panic"), 1);
    assert_eq!(read_to_end(&mut busy).await, "");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let limits = ServeLimits {
        max_connections: 1,
        ..ServeLimits::default()
    };
    let server = start(limits).await;
    let mut first = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut first, "up").await;
    let mut second = send(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    drop(first);
    read_until(&mut second, "up").await;
}

#[tokio::test]
async fn websockets_share_the_port() {
    let server = start(ServeLimits::default()).await;
    let url = format!("ws://{}/echo", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("upgraded");
    let bytes = vec![0, 255, 7];
    let message = tokio_tungstenite::tungstenite::Message::binary(bytes.clone());
    socket.send(message).await.expect("sent");
    let back = socket.next().await.expect("open").expect("a frame");
    assert_eq!(back.into_data().to_vec(), bytes);
}
