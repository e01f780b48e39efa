//! For tests: conversations of one sandbox with an MCP server, both ends in memory.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pinfold_model::gateway::{ToolPattern, Tools};
use pinfold_model::{GatewayKind, NetworkPolicy};
use tokio::io::duplex;
use tokio::sync::{mpsc, watch};

use super::{Body, BoxError, Conversation, Onward, whole};
use crate::gate::{Added, Inner, Target};
use crate::gateways::{Call, Gateways, NoCall};
use crate::outside::Outside;
use crate::secure::Authority;
use crate::{Egress, gateways};

/// What the gateway of [`World`] leads to at the moment.
struct Calls {
    call: Mutex<Result<Call, NoCall>>,
    changes: watch::Sender<()>,
}

struct Shared(Arc<Calls>);

#[async_trait]
impl Gateways for Shared {
    async fn call(&self, _: GatewayKind, _: &str) -> Result<Call, NoCall> {
        self.0.call.lock().expect("no panic").clone()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}

/// The gate of one sandbox.
pub(super) struct World {
    inner: Arc<Inner>,
    calls: Arc<Calls>,
}

/// A body that comes as it is sent, to its end when the other side is dropped.
pub(super) struct Pieces(mpsc::Receiver<Bytes>);

pub(super) fn pieces() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(64);
    (sender, Pieces(receiver).boxed())
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl World {
    pub(super) fn new() -> Self {
        let any = ToolPattern::try_from("*".to_owned()).expect("a pattern");
        let calls = Arc::new(Calls {
            call: Mutex::new(Ok(Call {
                endpoint: "https://mcp.example/mcp".parse().expect("an endpoint"),
                headers: Vec::new(),
                tools: Some(Tools::new("x", vec![any])),
            })),
            changes: watch::Sender::default(),
        });
        let added = Added {
            authority: Arc::new(Authority::new(&[7; 32]).expect("an authority")),
            credentials: None,
            gateways: Some(Box::new(Shared(Arc::clone(&calls)))),
        };
        let policy = NetworkPolicy {
            allow: vec![GatewayKind::Mcp.host().parse().expect("a rule")],
            deny: Vec::new(),
        };
        // Nobody is asked: each conversation has its way on from the beginning.
        let outside = Outside::new(&[(Ipv4Addr::LOCALHOST, 9).into()]).expect("a resolver");
        let network = (Ipv4Addr::new(10, 0, 0, 0), 24);
        let egress = Egress::adding(outside, network, policy, added);
        Self {
            inner: egress.inner(),
            calls,
        }
    }

    /// What calls become from now on; told, as the engine tells of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Result<Call, NoCall>)) {
        change(&mut self.calls.call.lock().expect("no panic"));
        self.calls.changes.send_replace(());
    }

    /// A connection of the sandbox, behind which `server` is.
    pub(super) async fn connect<F>(
        &self,
        server: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> SendRequest<Body>
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let host = GatewayKind::Mcp.host().parse().expect("a name");
        let target = Target::Name(host);
        let conversation = Conversation::new(&self.inner, target, gateways::PORT, None);
        let (ours, theirs) = duplex(1 << 16);
        serve(theirs, server);
        let onward = conversation.greet(ours).await.expect("a handshake");
        let to = Onward::Gateway("mcp.example".parse().expect("a name"), 443);
        *conversation.onward.lock().await = Some((to, onward));
        let (ours, theirs) = duplex(1 << 16);
        serve(theirs, move |request| {
            let conversation = Arc::clone(&conversation);
            async move { conversation.answer(request).await }
        });
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(ours));
        let (sender, connection) = handshake.await.expect("a handshake");
        tokio::spawn(connection);
        sender
    }
}

fn serve<F>(
    stream: tokio::io::DuplexStream,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let answer = Arc::new(answer);
    let service = service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move { Ok::<_, Infallible>(answer(request).await) }
    });
    // Without a timer, so that it has all the time there is for a request to begin.
    let http = hyper::server::conn::http1::Builder::new();
    tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
}

pub(super) fn request(method: Method, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/mcp")
        .header(HOST, GatewayKind::Mcp.host())
        .header(AUTHORIZATION, "Bearer gws_x")
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a request")
}

pub(super) fn post(text: impl Into<Bytes>) -> Request<Body> {
    request(Method::POST, whole(text))
}

/// The status and the code of a refusal.
pub(super) async fn refusal(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let said: serde_json::Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    let code = said["error"]["code"].as_str().expect("a code");
    (status, code.to_owned())
}

/// An answer of the server's.
pub(super) fn said(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
