//! A client of a router in the same process.

use axum::extract::{Path, Request};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Extension, Router};
use pinfold_sdk::{Client, Error, InProcess, StreamOptions, Upload, WriteOptions};

#[derive(Clone)]
struct Known(&'static str);

fn client(router: Router) -> Client {
    let headers = HeaderMap::from_iter([(
        "x-request-id".parse().expect("a name"),
        "req_1".parse().expect("a value"),
    )]);
    let mut extensions = Extensions::new();
    extensions.insert(Known("handed over"));
    InProcess::new(router)
        .expect("a service")
        .client("http://told.example:8080/below", "k3y", headers, extensions)
        .expect("a client")
}

#[tokio::test]
async fn requests_carry_the_key_the_host_and_what_was_handed_over() {
    async fn seen(Extension(known): Extension<Known>, request: Request) -> impl IntoResponse {
        let header = |name: &str| request.headers()[name].to_str().expect("text").to_owned();
        let told = [
            header("authorization"),
            header("host"),
            header("x-request-id"),
            request.uri().path().to_owned(),
            known.0.to_owned(),
        ];
        (StatusCode::CONFLICT, told.join(" "))
    }
    let router = Router::new().fallback(seen);
    let error = client(router).commands().get("cmd_1").await;
    let Err(Error::Api(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.status, 409);
    let router = Router::new().fallback(async |request: Request| {
        let seen = seen(Extension(Known("x")), request).await;
        let body = axum::body::to_bytes(seen.into_response().into_body(), 1 << 20).await;
        body.expect("in memory")
    });
    let client = client(router);
    let told = client.files("sbx_1").read("/x").await.expect("an answer");
    let told = String::from_utf8(told.collect().await.expect("whole")).expect("text");
    assert_eq!(
        told,
        "Bearer k3y told.example:8080 req_1 /below/v1/sandboxes/sbx_1/files x"
    );
    assert_eq!(client.url(), "http://told.example:8080/below");
}

#[tokio::test]
async fn bodies_and_streams_pass_both_ways() {
    let end = r#"{"type":"truncated","seq":1,"time":""}"#;
    let events = format!("event: truncated\nid: 1\ndata: {end}\n\n");
    let written = put(|body: axum::body::Bytes| async move {
        format!(
            r#"{{"name":"x","path":"/x","kind":"file","size_bytes":{},"mode":"0644","uid":0,"gid":0,"modified_at":"","target":null}}"#,
            body.len()
        )
    });
    let streamed = get(|Path(id): Path<String>| async move {
        assert_eq!(id, "cmd_1");
        ([("content-type", "text/event-stream")], events)
    });
    let router = Router::new()
        .route("/below/v1/sandboxes/{id}/files", written)
        .route("/below/v1/commands/{id}/stream", streamed);
    let client = client(router);
    let upload = Upload::bytes(vec![7; 100_000]);
    let options = WriteOptions::default();
    let entry = client.files("sbx_1").write("/x", upload, &options).await;
    assert_eq!(entry.expect("written").size_bytes, 100_000);
    let mut stream = client.commands().stream("cmd_1", StreamOptions::default());
    let record = stream.next().await.expect("a record");
    assert_eq!(record.expect("one").seq(), 1);
}
