//! From a request at a preview's address to its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use metrics::Counter;
use pinfold_engine::{Engine, OpenPreview, Visit};
use pinfold_http::{BaseUrl, Draining, Failure, Peer};
use pinfold_model::{Code, Error, Result, Slug, TunnelHost};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Admission, admit, wants_page};
use crate::address::{Address, Kind};
use crate::body::{Answered, Held, Lent, Progress, Sent};
use crate::exchange::send;
use crate::failure::failure;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::tunnel::Tunnel;
use crate::{request, response};

/// What all exchanges share.
pub(crate) struct Proxy {
    engine: Engine,
    limits: Limits,
    pool: Arc<Pool>,
    exchanges: Arc<Semaphore>,
    bytes_in: Counter,
    bytes_out: Counter,
}

impl Proxy {
    pub(crate) fn new(engine: Engine, limits: Limits) -> Self {
        Self {
            engine,
            limits,
            pool: Arc::new(Pool::new(limits)),
            exchanges: Arc::new(Semaphore::new(limits.exchanges)),
            bytes_in: metrics::counter!("pinfold_preview_bytes_total", "direction" => "in"),
            bytes_out: metrics::counter!("pinfold_preview_bytes_total", "direction" => "out"),
        }
    }
}

pub(crate) async fn carry(
    State(proxy): State<Arc<Proxy>>,
    Extension(mut address): Extension<Address>,
    base: BaseUrl,
    draining: Draining,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    check(&parts, &address)?;
    if address.rest.is_none() {
        let query = parts.uri.query();
        if goes_to_slash(&parts) {
            return redirect_to_slash(&address, query).map_err(failure);
        }
        address.take_root(query);
    }
    let carrier = Carrier {
        proxy: &proxy,
        address: &address,
        base: &base,
        draining,
        peer,
    };
    carrier.carry(parts, body).await.map_err(failure)
}

/// What is refused before anybody is asked.
fn check(parts: &Parts, address: &Address) -> Result<(), Failure> {
    if parts.headers.get_all(HOST).iter().count() > 1 {
        return Err(Error::invalid("host", "a request has one Host header").into());
    }
    if parts.method == Method::CONNECT {
        let error = Error::new(Code::MethodNotAllowed, "a preview is no proxy");
        return Err(Failure::from(error).with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    // A worker of one preview would serve the whole origin below its path, with no page of its own
    // that could be told from others'.
    if address.kind == Kind::Path && parts.headers.contains_key("service-worker") {
        return Err(Error::new(
            Code::PermissionDenied,
            "service workers need an origin of their own: use the preview's host-name address",
        )
        .into());
    }
    Ok(())
}

/// Whether a bare `/p/SLUG` is asked for by somebody who shows pages. Others are answered in place:
/// programs need not follow a redirect, have no body to send again, or no answer to their upgrade.
fn goes_to_slash(parts: &Parts) -> bool {
    let read = parts.method == Method::GET || parts.method == Method::HEAD;
    read && wants_page(&parts.headers) && !request::wants_websocket(parts)
}

/// Relative references of a page at `/p/SLUG` would lead out of the preview.
fn redirect_to_slash(address: &Address, query: Option<&str>) -> Result<Response> {
    address
        .slug
        .parse::<Slug>()
        .map_err(|_| Error::new(Code::PreviewNotFound, "there is no such preview"))?;
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let target = HeaderValue::from_str(&format!("{}/{query}", address.prefix))
        .map_err(|error| Error::invalid("url", "the query is not text").because(error))?;
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, target);
    // The query may hold a token, and whoever keeps a permanent redirect may keep it for ever.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One request on its way.
struct Carrier<'a> {
    proxy: &'a Proxy,
    address: &'a Address,
    base: &'a BaseUrl,
    draining: Draining,
    peer: Peer,
}

impl Carrier<'_> {
    async fn carry(self, mut parts: Parts, body: Body) -> Result<Response> {
        let engine = &self.proxy.engine;
        let (open, port) = self.open().await?;
        match admit(engine, &open, self.address, self.base, &mut parts).await? {
            Admission::In => {}
            Admission::Session(response) => return Ok(response),
        }
        let place = self.place()?;
        let visit = engine.enter_preview(&open, port).await?;
        let ended = open.ended();
        tokio::select! {
            biased;
            () = ended => Err(gone()),
            answered = self.exchange(&open, Held { visit, _place: place }, parts, body) => answered,
        }
    }

    /// What the address leads to, and the port that it names, if it is for it to say.
    async fn open(&self) -> Result<(Arc<OpenPreview>, Option<u16>)> {
        let engine = &self.proxy.engine;
        if self.address.kind != Kind::Tunnel {
            return Ok((engine.open_preview(&self.address.slug).await?, None));
        }
        match self.address.slug.parse() {
            Ok(TunnelHost::Port { port, key }) => Ok((engine.open_tunnel(&key).await?, Some(port))),
            Ok(TunnelHost::Terminals(_)) | Err(_) => {
                Err(Error::new(Code::PreviewNotFound, "there is no such tunnel"))
            }
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit> {
        let exchanges = Arc::clone(&self.proxy.exchanges);
        exchanges.try_acquire_owned().map_err(|_| {
            Error::new(Code::Unavailable, "too many requests to previews at once")
                .retry_after(std::time::Duration::from_secs(1))
        })
    }

    async fn exchange(
        &self,
        open: &OpenPreview,
        held: Held,
        mut parts: Parts,
        body: Body,
    ) -> Result<Response> {
        let method = parts.method.clone();
        let websocket = request::wants_websocket(&parts);
        let caller = request::Caller {
            ip: self.peer.0.map(|address| address.ip()),
            scheme: self.base.scheme(),
        };
        request::rewrite(&mut parts, self.address, &caller);
        request::settle_length(&mut parts.headers, body.size_hint().exact());
        let outside = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        // Nothing of ours travels along.
        parts.extensions.clear();
        let reusable = body.is_end_stream();
        let (answer, sender) = self.answer(&held.visit, parts, body).await?;
        let lent = Lent {
            sender,
            pool: Arc::clone(&self.proxy.pool),
            place: held.visit.place(),
            reusable,
        };
        match (answer.status(), outside.filter(|_| websocket)) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(outside)) => {
                Ok(self.upgraded(open, held, answer, outside))
            }
            (StatusCode::SWITCHING_PROTOCOLS, None) => Err(Error::new(
                Code::PreviewUnavailable,
                "the application switched to a protocol that nobody asked for",
            )),
            _ => Ok(self.answered(open, held, answer, lent, &method)),
        }
    }

    /// The head of the answer, within its time.
    async fn answer(
        &self,
        visit: &Visit,
        parts: Parts,
        body: Body,
    ) -> Result<(hyper::Response<Incoming>, SendRequest<Body>)> {
        let limits = &self.proxy.limits;
        let progress = Arc::new(Progress::new());
        let body = match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(Sent::new(
                body,
                self.proxy.bytes_in.clone(),
                Arc::clone(&progress),
            )),
        };
        let request = Request::from_parts(parts, body);
        tokio::select! {
            answer = send(&self.proxy.pool, limits, visit, request) => Ok(answer?),
            () = progress.stalled(limits.head) => Err(Error::new(
                Code::Timeout,
                format!("the application did not answer within {} s", limits.head.as_secs()),
            )),
        }
    }

    fn answered(
        &self,
        open: &OpenPreview,
        held: Held,
        answer: hyper::Response<Incoming>,
        lent: Lent,
        method: &Method,
    ) -> Response {
        let (mut parts, body) = answer.into_parts();
        response::rewrite(&mut parts, self.address);
        response::settle_length(&mut parts, method, body.size_hint().exact());
        let counter = self.proxy.bytes_out.clone();
        let body = Answered::new(body, counter, open.ended(), lent, held);
        Response::from_parts(parts, Body::new(body))
    }

    fn upgraded(
        &self,
        open: &OpenPreview,
        held: Held,
        mut answer: hyper::Response<Incoming>,
        outside: hyper::upgrade::OnUpgrade,
    ) -> Response {
        let tunnel = Tunnel {
            outside,
            inside: hyper::upgrade::on(&mut answer),
            bytes_in: self.proxy.bytes_in.clone(),
            bytes_out: self.proxy.bytes_out.clone(),
            held,
        };
        tokio::spawn(tunnel.run(open.ended(), self.draining.wait_owned()));
        let (mut parts, _) = answer.into_parts();
        response::rewrite_upgrade(&mut parts, self.address);
        Response::from_parts(parts, Body::empty())
    }
}

fn gone() -> Error {
    Error::new(
        Code::PreviewGone,
        "the preview has ended: it was revoked, has expired, or its sandbox ended",
    )
}
