//! HTTP that we read: plain, or in TLS that we open. Each request says anew whom it is for, so each is
//! judged by itself.

mod gateway;
mod headers;
mod mcp;
mod standing;
#[cfg(test)]
mod world;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::{TokioIo, TokioTimer};
use pinfold_model::NetworkPolicy;
use pinfold_model::network::{HostName, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::{Inner, Target};
use crate::opening::{Addressee, addressee, without_port};
use crate::refusal::{NoWay, settle};
use crate::secure::Authority;
use crate::tally::add;
use crate::tunnel::Counted;
use headers::{keep_upgrade, prepare, strip, upgrade};
use standing::Standing;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = BoxBody<Bytes, BoxError>;

/// Of requests and of answers.
const HEAD_MAX: usize = 64 << 10;
/// For TLS to begin.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// One connection of the sandbox, and the one to the outside that its requests go on with.
struct Conversation {
    inner: Arc<Inner>,
    target: Target,
    port: u16,
    secured: Option<Secured>,
    onward: tokio::sync::Mutex<Option<(Onward, SendRequest<Body>)>>,
    /// Whom it talks to, or is about to, and where they were found.
    hosts: Mutex<HashMap<HostName, Option<IpAddr>>>,
    /// Upgraded connections, which outlive their requests.
    tasks: TaskTracker,
    /// Of everything that was begun for it.
    ending: CancellationToken,
}

/// Whom a request goes on to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Onward {
    /// A host that the sandbox named.
    Named(HostName),
    /// What a gateway leads to, which the sandbox need not be allowed.
    Gateway(HostName, u16),
}

/// TLS that we open, to one host.
pub(crate) struct Secured {
    pub(crate) name: HostName,
    pub(crate) authority: Arc<Authority>,
}

pub(crate) async fn carry(
    inner: &Arc<Inner>,
    client: TcpStream,
    first: Vec<u8>,
    target: Target,
    port: u16,
) {
    let Ok(socket) = client.as_fd().try_clone_to_owned() else {
        return;
    };
    let conversation = Conversation::new(inner, target, port, None);
    talk(conversation, begun(client, first), &socket).await;
}

pub(crate) async fn carry_secured(
    inner: &Arc<Inner>,
    client: TcpStream,
    first: Vec<u8>,
    target: Target,
    port: u16,
    secured: Secured,
) {
    let Ok(socket) = client.as_fd().try_clone_to_owned() else {
        return;
    };
    let stream = begun(client, first);
    let shaken = secured.authority.accept(&secured.name, stream);
    match tokio::time::timeout(HANDSHAKE, shaken).await {
        Ok(Ok(stream)) => {
            let conversation = Conversation::new(inner, target, port, Some(secured));
            talk(conversation, stream, &socket).await;
        }
        // One that does not trust us says so itself; what we say about it arrives.
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS with a sandbox");
            settle(&socket);
        }
        Err(_) => {}
    }
}

/// A stream whose first bytes were read already.
fn begun(
    client: TcpStream,
    first: Vec<u8>,
) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
    let (read, write) = client.into_split();
    tokio::io::join(io::Cursor::new(first).chain(read), write)
}

async fn talk(
    conversation: Arc<Conversation>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    socket: &OwnedFd,
) {
    let (inner, port) = (Arc::clone(&conversation.inner), conversation.port);
    let _ending = conversation.ending.clone().drop_guard();
    let answers = Arc::clone(&conversation);
    let service = hyper::service::service_fn(move |request| {
        let conversation = Arc::clone(&answers);
        async move { Ok::<_, std::convert::Infallible>(conversation.answer(request).await) }
    });
    let talk = hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .half_close(true)
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let whole = async {
        let talked = talk.await;
        conversation.tasks.close();
        conversation.tasks.wait().await;
        talked
    };
    tokio::select! {
        talked = whole => {
            match talked {
                Ok(()) => settle(socket),
                // What has come so far must not look like all of it.
                Err(error) => tracing::debug!(%error, "a conversation of a sandbox broke"),
            }
        }
        why = inner.forbidden(|policy| conversation.check(policy)) => {
            inner.tally.refuse(&conversation.target, Some(port), why);
        }
    }
}

impl Conversation {
    fn new(inner: &Arc<Inner>, target: Target, port: u16, secured: Option<Secured>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            target,
            port,
            secured,
            onward: tokio::sync::Mutex::default(),
            hosts: Mutex::default(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        })
    }

    /// Whether it may go on with everybody it has talked to.
    fn check(&self, policy: &NetworkPolicy) -> Result<(), Refusal> {
        self.hosts().iter().try_for_each(|(host, found)| {
            policy.check_name(host, self.port)?;
            found.map_or(Ok(()), |at| policy.check_answer(at, self.port))
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.pass(request).await {
            Ok(response) => response,
            Err(no_way) => {
                if let NoWay::Refused { host, why } = &no_way {
                    self.inner.tally.refuse(host, Some(self.port), *why);
                }
                let status = match no_way {
                    NoWay::Refused { .. } => StatusCode::FORBIDDEN,
                    NoWay::Unreachable(_) | NoWay::Io(_) => StatusCode::BAD_GATEWAY,
                };
                let mut response = Response::new(whole(no_way.words(self.port)));
                *response.status_mut() = status;
                let plain = http::HeaderValue::from_static("text/plain");
                response.headers_mut().insert(CONTENT_TYPE, plain);
                response
            }
        }
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, NoWay> {
        let host = self.host(&request)?;
        self.admit(&host)?;
        if self.inner.gateways_at(&host).is_some() {
            return gateway::answer(self, &host, request).await;
        }
        self.pass_on(Onward::Named(host), request, None).await
    }

    /// Sends it to an allowed host; what it is upgraded to ends with `standing`.
    async fn pass_on(
        &self,
        to: Onward,
        mut request: Request<Incoming>,
        standing: Option<&Arc<Standing>>,
    ) -> Result<Response<Body>, NoWay> {
        let upgrade = upgrade(request.headers());
        let asked = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        prepare(&mut request, upgrade.as_ref())?;
        if let Onward::Named(host) = &to {
            self.add(host, request.headers_mut()).await?;
        }
        let mut response = self.send(to, request.map(boxed)).await?;
        strip(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(asked), Some(protocol)) = (asked, upgrade)
        {
            keep_upgrade(response.headers_mut(), &protocol);
            let given = hyper::upgrade::on(&mut response);
            let standing = standing.cloned();
            let pass = async move {
                let (Ok(asked), Ok(given)) = tokio::join!(asked, given) else {
                    return;
                };
                let (mut asked, mut given) = (TokioIo::new(asked), TokioIo::new(given));
                tokio::select! {
                    () = standing::revoked(standing.as_deref()) => {}
                    _ = tokio::io::copy_bidirectional(&mut asked, &mut given) => {}
                }
            };
            let ending = self.ending.clone();
            self.tasks.spawn(ending.run_until_cancelled_owned(pass));
        }
        Ok(response.map(boxed))
    }

    /// Noted before it is judged, so that a change of the policy at any later moment finds it.
    fn admit(&self, host: &HostName) -> Result<(), NoWay> {
        let is_new = !self.hosts().contains_key(host);
        self.hosts().entry(host.clone()).or_insert(None);
        let checked = self.inner.policy().check_name(host, self.port);
        if checked.is_err() && is_new {
            self.hosts().remove(host);
        }
        checked.map_err(|why| NoWay::refused(host, why))
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<HostName, Option<IpAddr>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom the request is for: a name, once.
    fn host(&self, request: &Request<Incoming>) -> Result<HostName, NoWay> {
        let strange = |text: &str| NoWay::refused(text, Refusal::NotAllowed);
        // To be carried somewhere else by whoever answers is not what was allowed.
        // What was sent is not told either: that may be more than it knows.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(strange(&request.uri().to_string()));
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or("?"),
            (None, None) => "",
            _ => return Err(strange("two hosts")),
        };
        let named = addressee(without_port(host));
        let authority = request
            .uri()
            .authority()
            .map(|whole| addressee(whole.host()));
        if authority.is_some_and(|authority| authority != named) {
            return Err(strange("two hosts"));
        }
        match (named, &self.target) {
            // The certificate that was checked is that of one host.
            (Addressee::Name(name), _) if self.is_other(&name) => Err(strange(name.as_str())),
            (Addressee::Name(name), _) => Ok(name),
            (Addressee::Unnamed, Target::Name(name)) if host.is_empty() => Ok(name.clone()),
            (Addressee::Strange(text), _) => Err(strange(&text)),
            (Addressee::Unnamed, _) => Err(strange(host)),
        }
    }

    fn is_other(&self, name: &HostName) -> bool {
        self.secured
            .as_ref()
            .is_some_and(|secured| secured.name != *name)
    }

    /// The credentials of that host, in place of headers that the request has.
    async fn add(&self, host: &HostName, headers: &mut HeaderMap) -> Result<(), NoWay> {
        let Some((credentials, _)) = self.inner.credentials_for(host, self.port) else {
            return Ok(());
        };
        if self.secured.is_none() {
            return Err(NoWay::Unreachable(format!(
                "a credential goes to {host}:{} over TLS only",
                self.port
            )));
        }
        let added = credentials.headers(host, self.port).await;
        for (name, value) in added.map_err(|error| NoWay::Unreachable(error.0))? {
            headers.insert(name, value);
        }
        Ok(())
    }

    async fn greet(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Body>, NoWay> {
        let handshake = hyper::client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(HEAD_MAX)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(broken)?;
        let ending = self.ending.clone();
        tokio::spawn(ending.run_until_cancelled_owned(connection.with_upgrades()));
        Ok(sender)
    }

    async fn send(&self, to: Onward, request: Request<Body>) -> Result<Response<Incoming>, NoWay> {
        let mut onward = self.onward.lock().await;
        let mut request = request;
        if let Some((last, mut sender)) = onward.take()
            && last == to
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    *onward = Some((to, sender));
                    return Ok(response);
                }
                // The other side had closed it meanwhile, and has seen nothing of the request.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(error.into_error())),
                },
            }
        }
        let mut sender = self.dial(&to).await?;
        let response = sender.send_request(request).await.map_err(broken)?;
        *onward = Some((to, sender));
        Ok(response)
    }

    async fn dial(&self, to: &Onward) -> Result<SendRequest<Body>, NoWay> {
        match to {
            Onward::Named(host) => self.dial_named(host).await,
            Onward::Gateway(host, port) => gateway::dial(self, host, *port).await,
        }
    }

    async fn dial_named(&self, host: &HostName) -> Result<SendRequest<Body>, NoWay> {
        let (inner, port) = (&self.inner, self.port);
        let policy = inner.policy();
        let stream = inner.outside.dial_name(host, port, &policy).await?;
        add(&inner.tally.connections, 1);
        let found = stream.peer_addr().ok().map(|address| address.ip());
        self.hosts().insert(host.clone(), found);
        let stream = Counted::new(stream, inner);
        let Some(secured) = &self.secured else {
            return self.greet(stream).await;
        };
        self.greet_securely(&secured.authority, host, stream).await
    }

    async fn greet_securely(
        &self,
        authority: &Authority,
        host: &HostName,
        stream: Counted,
    ) -> Result<SendRequest<Body>, NoWay> {
        let shaken = authority.connect(host, stream);
        let shaken = tokio::time::timeout(HANDSHAKE, shaken).await;
        let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.greet(stream).await
    }
}

fn boxed(body: Incoming) -> Body {
    body.map_err(Into::into).boxed()
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    let full = Full::from(bytes.into());
    full.map_err(|never| match never {}).boxed()
}

fn broken(error: hyper::Error) -> NoWay {
    NoWay::Unreachable(error.to_string())
}
