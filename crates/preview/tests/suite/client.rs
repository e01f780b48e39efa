//! Two clients: a polite one, and one that writes what no polite one would.

use std::net::SocketAddr;
use std::time::Duration;

use pinfold_sdk::Preview;
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{DEADLINE, DOMAIN, KEY, World};

/// A client of the previews' addresses: it follows no redirect and finds every name on loopback.
pub(crate) fn client(world: &World, preview: &Preview) -> Client {
    Client::builder()
        .redirect(redirect::Policy::none())
        .resolve(&format!("{}.{DOMAIN}", preview.slug), world.address)
        .timeout(DEADLINE)
        .build()
        .expect("a client")
}

/// Both addresses of a preview, each without a slash at its end.
pub(crate) fn both(world: &World, preview: &Preview) -> [String; 2] {
    [by_path(world, preview), by_host(world, preview)]
}

pub(crate) fn by_path(world: &World, preview: &Preview) -> String {
    format!("http://{}/p/{}", world.address, preview.slug)
}

pub(crate) fn by_host(world: &World, preview: &Preview) -> String {
    format!("http://{}.{DOMAIN}:{}", preview.slug, world.address.port())
}

/// With the key that may.
pub(crate) fn keyed(request: RequestBuilder) -> RequestBuilder {
    request.bearer_auth(KEY)
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The code of an error of ours.
pub(crate) async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    let code = body["error"]["code"].as_str().unwrap_or_default();
    (status, code.to_owned())
}

/// What the application saw.
#[derive(Debug)]
pub(crate) struct Seen(pub(crate) Value);

impl Seen {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = send(request).await;
        assert_eq!(response.status(), 200, "{response:?}");
        Self(response.json().await.expect("JSON"))
    }

    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let headers = self.0["headers"].as_array().expect("headers").iter();
        headers
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().expect("text"))
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Sends bytes as they are and reads to the end of the connection, or until `stop` is there.
pub(crate) async fn raw(address: SocketAddr, request: &str, stop: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    read_until(&mut stream, stop).await
}

/// An empty `stop` reads to the end.
pub(crate) async fn read_until(stream: &mut TcpStream, stop: &str) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 8192];
    let read = async {
        loop {
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            text.extend_from_slice(&buffer[..count]);
            let seen = String::from_utf8_lossy(&text);
            if count == 0 || (!stop.is_empty() && seen.contains(stop)) {
                return seen.into_owned();
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(60), read).await;
    read.expect("an answer in time")
}
