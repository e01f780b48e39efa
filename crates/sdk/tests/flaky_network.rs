//! The client against a network that drops connections at any byte. The other side is a test double
//! of that network: it speaks the stream's real wire form and cuts it where it is told to.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use pinfold_sdk::{
    Client, Command, CommandState, Encoding, Error, ErrorCode, Record, StartCommand, StdinMode,
    StreamName, StreamOptions, StreamQuery,
};
use rand::RngExt;

fn command(state: CommandState) -> Command {
    Command {
        id: "cmd_1".into(),
        sandbox_id: "sbx_1".into(),
        project_id: "prj_1".into(),
        argv: Some(vec!["true".into()]),
        shell: None,
        cwd: None,
        env_names: Vec::new(),
        user: None,
        stdin: StdinMode::Null,
        tty: None,
        timeout_ms: None,
        output_cap_bytes: None,
        state,
        exit_code: (state == CommandState::Exited).then_some(0),
        signal: None,
        cancel: None,
        created_at: "2026-01-01T00:00:00Z".into(),
        started_at: None,
        ended_at: None,
        last_seq: None,
        truncated: false,
    }
}

fn journal(records: u64) -> Vec<Record> {
    let time = || "2026-01-01T00:00:00Z".to_owned();
    let output = |seq| {
        let (encoding, data) = Encoding::encode(format!("line {seq} ü\n").into_bytes());
        Record::Output {
            seq,
            time: time(),
            stream: StreamName::Stdout,
            encoding,
            data,
        }
    };
    let mut all: Vec<_> = (1..records).map(output).collect();
    all.push(Record::End {
        seq: records,
        time: time(),
        command: Box::new(command(CommandState::Exited)),
    });
    all
}

/// What the network does with one connection after another; then it behaves.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The connection breaks after so many bytes of the body.
    CutAt(usize),
    /// The body ends properly, only too early.
    EndAt(usize),
    /// Somebody answers with this status and no body of ours.
    Status(u16),
}

#[derive(Default)]
struct Network {
    fates: Mutex<Vec<Fate>>,
    connections: AtomicU32,
}

const RECORDS: u64 = 40;

async fn stream(State(network): State<Arc<Network>>, Query(query): Query<StreamQuery>) -> Response {
    network.connections.fetch_add(1, Ordering::SeqCst);
    let after = query.after_seq.unwrap_or(0);
    let mut text = String::from(": heartbeat\n\n");
    for record in journal(RECORDS).iter().filter(|r| r.seq() > after) {
        let data = serde_json::to_string(record).expect("plain data");
        let (event, seq) = (record.event(), record.seq());
        text.push_str(&format!("event: {event}\nid: {seq}\ndata: {data}\n\n"));
    }
    let bytes = text.into_bytes();
    let fate = network.fates.lock().expect("no panic").pop();
    let (part, broken) = match fate {
        Some(Fate::Status(status)) => {
            return StatusCode::from_u16(status).expect("valid").into_response();
        }
        Some(Fate::CutAt(at)) => (bytes[..at.min(bytes.len())].to_vec(), true),
        Some(Fate::EndAt(at)) => (bytes[..at.min(bytes.len())].to_vec(), false),
        None => (bytes, false),
    };
    let mut pieces = vec![Ok(part)];
    if broken {
        pieces.push(Err(std::io::Error::other("cut")));
    }
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn client(network: &Arc<Network>) -> Client {
    let router = Router::new()
        .route("/v1/commands/{id}/stream", get(stream))
        .with_state(Arc::clone(network));
    let address = serve(router).await;
    Client::new(&format!("http://{address}"), "key").expect("a URL")
}

/// All records that a stream gives.
async fn follow(client: &Client) -> Result<Vec<Record>, Error> {
    let mut stream = client.commands().stream("cmd_1", StreamOptions::default());
    let mut records = Vec::new();
    while let Some(record) = stream.next().await? {
        records.push(record);
    }
    Ok(records)
}

#[tokio::test]
async fn nothing_is_missing_and_nothing_comes_twice_wherever_the_connection_breaks() {
    let network = Arc::new(Network::default());
    let client = client(&network).await;
    let mut dice = rand::rng();
    for _ in 0..25 {
        let fates: Vec<Fate> = (0..6)
            .map(|n| match n % 3 {
                0 => Fate::EndAt(dice.random_range(0..6000)),
                _ => Fate::CutAt(dice.random_range(0..6000)),
            })
            .collect();
        *network.fates.lock().expect("no panic") = fates.clone();
        let records = follow(&client).await.expect("the stream recovers");
        assert_eq!(records, journal(RECORDS), "{fates:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_answers_for_a_restarting_server_is_waited_out() {
    let network = Arc::new(Network::default());
    let client = client(&network).await;
    *network.fates.lock().expect("no panic") =
        vec![Fate::Status(502), Fate::Status(503), Fate::CutAt(500)];
    assert_eq!(follow(&client).await.expect("recovers"), journal(RECORDS));
    assert_eq!(network.connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_refusal_ends_the_stream_at_once() {
    let network = Arc::new(Network::default());
    let client = client(&network).await;
    *network.fates.lock().expect("no panic") = vec![Fate::Status(404)];
    let error = follow(&client).await.expect_err("refused");
    assert_eq!(error.api().expect("an answer").status, 404);
    assert_eq!(network.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_begun_later_gives_only_what_is_behind() {
    let network = Arc::new(Network::default());
    let client = client(&network).await;
    let options = StreamOptions {
        after_seq: RECORDS - 2,
        stream: None,
    };
    let mut stream = client.commands().stream("cmd_1", options);
    let first = stream.next().await.expect("readable").expect("a record");
    assert_eq!(first.seq(), RECORDS - 1);
    assert_eq!(stream.last_seq(), RECORDS - 1);
}

#[derive(Default)]
struct Starts {
    tries: AtomicU32,
    keys: Mutex<HashSet<String>>,
}

/// Breaks off twice after it did its work, as a network can.
async fn flaky_start(State(starts): State<Arc<Starts>>, headers: HeaderMap) -> Response {
    let key = headers["idempotency-key"]
        .to_str()
        .expect("text")
        .to_owned();
    starts.keys.lock().expect("no panic").insert(key);
    if starts.tries.fetch_add(1, Ordering::SeqCst) < 2 {
        let pieces = [Ok("{".to_owned()), Err(std::io::Error::other("cut"))];
        return Body::from_stream(futures::stream::iter(pieces)).into_response();
    }
    axum::Json(command(CommandState::Running)).into_response()
}

#[tokio::test]
async fn a_start_is_repeated_under_one_idempotency_key() {
    let starts = Arc::new(Starts::default());
    let router = Router::new()
        .route("/v1/sandboxes/{id}/commands", post(flaky_start))
        .with_state(Arc::clone(&starts));
    let address = serve(router).await;
    let client = Client::new(&format!("http://{address}"), "key").expect("a URL");
    let request = StartCommand::default();
    let started = client.commands().start("sbx_1", &request).await;
    assert_eq!(started.expect("the third try").id, "cmd_1");
    assert_eq!(starts.tries.load(Ordering::SeqCst), 3);
    assert_eq!(starts.keys.lock().expect("no panic").len(), 1);
}

/// A client of something that answers each POST of input alike, and how often it was asked.
async fn refusing(status: StatusCode, body: &'static str) -> (Client, Arc<AtomicU32>) {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let refuse = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        (status, [("retry-after", "0")], body)
    };
    let address = serve(Router::new().route("/v1/commands/{id}/stdin", post(refuse))).await;
    let client = Client::new(&format!("http://{address}"), "key").expect("a URL");
    (client, tries)
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_sent_twice_whatever_a_proxy_says() {
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ] {
        for body in ["", "<html>", r#"{"error":{"code":"unavailable"}}"#] {
            let (client, tries) = refusing(status, body).await;
            let error = client.commands().write_stdin("cmd_1", "x").await;
            let code = error.expect_err("refused").code();
            assert_eq!(code, Some(ErrorCode::Unknown), "{status} {body}");
            assert_eq!(tries.load(Ordering::SeqCst), 1, "{status} {body}");
        }
    }
}

#[tokio::test]
async fn what_pinfold_did_not_take_on_is_sent_again() {
    for code in ["unavailable", "rate_limited"] {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m","request_id":"req_1"}}}}"#);
        let (client, tries) = refusing(StatusCode::SERVICE_UNAVAILABLE, body.leak()).await;
        let refused = client.commands().write_stdin("cmd_1", "x").await;
        refused.expect_err("refused each time");
        assert!(tries.load(Ordering::SeqCst) > 1, "{code}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be() {
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let client = Client::new(&format!("http://{address}"), "key").expect("a URL");
    let error = client.whoami().await.expect_err("nobody there");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("pinfold serve"), "{error}");
}

#[tokio::test]
async fn who_asks_whether_a_server_is_there_is_told_at_the_first_try() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let busy = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let silent = || std::future::pending::<StatusCode>();
    let busy = serve(Router::new().route("/healthz", get(busy))).await;
    let silent = serve(Router::new().route("/healthz", get(silent))).await;
    let client = |address| Client::new(&format!("http://{address}"), "key").expect("a URL");
    let patience = Duration::from_millis(200);
    let refused = client(busy).health_now(patience).await;
    assert!(matches!(refused, Err(Error::Api(_))), "{refused:?}");
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    let late = client(silent).health_now(patience).await;
    assert!(
        matches!(late, Err(Error::Timeout { after, .. }) if after == patience),
        "{late:?}"
    );
}

#[cfg(feature = "blocking")]
#[test]
fn the_blocking_client_gives_the_same_records_as_an_iterator() {
    let network = Arc::new(Network::default());
    *network.fates.lock().expect("no panic") = vec![Fate::CutAt(700), Fate::CutAt(300)];
    let server = tokio::runtime::Runtime::new().expect("a runtime");
    let url = server.block_on(client(&network)).url().to_owned();
    let client = pinfold_sdk::blocking::Client::new(&url, "key").expect("a URL");
    let stream = client.commands().stream("cmd_1", StreamOptions::default());
    let records: Result<Vec<_>, _> = stream.collect();
    assert_eq!(records.expect("recovers"), journal(RECORDS));
}
