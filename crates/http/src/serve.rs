//! The listener: HTTP/1.1 and h2c with WebSocket upgrades on one port, bounded, drained on shutdown.
//!
//! ```text
//! accept -> (place among max_connections) -> serve connection -> done
//! shutdown: stop accepting -> finish requests, close streams -> after `drain`: cut what is left
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Further connections wait in the kernel's queue.
    pub max_connections: usize,
    /// For a request's head; also how long an idle connection is kept.
    pub head_timeout: Duration,
    /// All headers of one request.
    pub head_max_bytes: usize,
    /// After shutdown was asked for, until open connections are cut.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            head_timeout: Duration::from_secs(30),
            head_max_bytes: 64 << 10,
            drain: Duration::from_secs(10),
        }
    }
}

/// Tells long answers that the server wants to stop. Extracted from any request.
#[derive(Debug, Clone, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    /// Whether draining has begun.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when draining begins.
    pub fn wait_owned(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.clone().cancelled_owned()
    }
}

impl<S: Sync> FromRequestParts<S> for Draining {
    type Rejection = Infallible;

    /// Outside of [`serve`] (a router called directly) nothing ever drains.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Who is at the other end of the connection. Extracted from any request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer(pub Option<SocketAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    /// Outside of [`serve`] nobody is known.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

/// Serves `router` until `shutdown`, then drains: no new connections, requests in flight finish,
/// streams are told to close, and what is left after `limits.drain` is cut. Returns the number of
/// connections that had to be cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    limits: ServeLimits,
) -> usize {
    let draining = Draining::default();
    let router = router.layer(Extension(draining.clone()));
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let builder = Arc::new(connection_builder(limits));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
            // Finished tasks are taken out at once, so the set is as large as the load.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let builder = Arc::clone(&builder);
                let served = connection(
                    builder,
                    (stream, peer),
                    router.clone(),
                    graceful.watcher(),
                    limits.head_timeout,
                );
                connections.spawn(async move {
                    let _place = place;
                    served.await;
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    draining.0.cancel();
    let drained = tokio::time::timeout(limits.drain, graceful.shutdown()).await;
    if drained.is_ok() {
        0
    } else {
        places_taken(&places, limits)
    }
    // Dropping the set cuts what is left.
}

fn places_taken(places: &Semaphore, limits: ServeLimits) -> usize {
    limits.max_connections - places.available_permits()
}

fn connection_builder(limits: ServeLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_max_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(u32::try_from(limits.head_max_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// One connection: requests until it ends or goes too long without a first one.
async fn connection(
    builder: Arc<Builder<TokioExecutor>>,
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    watcher: Watcher,
    head_timeout: Duration,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%error, "cannot set TCP keep-alive");
    }
    // The builder tells HTTP/1 from HTTP/2 by the first bytes and waits for them without a timer of
    // its own, so a silent client is ended here.
    let spoke = CancellationToken::new();
    let heard = spoke.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        heard.cancel();
        request.extensions_mut().insert(Peer(Some(peer)));
        router.call(request)
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let served = watcher.watch(served.into_owned());
    let silence = async {
        let first = tokio::time::timeout(head_timeout, spoke.cancelled()).await;
        if first.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = served => if let Err(error) = ended {
            // A client that went away or spoke no HTTP: not worth more than this.
            tracing::debug!(error, "a connection ended early");
        },
        () = silence => tracing::debug!("a connection sent no request in time"),
    }
}

/// Finds clients that vanished without a word within two minutes, so that none keeps a sandbox in use
/// for ever: an upgraded connection has no timer of HTTP's.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(stream, 4)
}

/// `accept` fails for one connection (reset before it was taken) or for want of descriptors, which
/// only time heals; without the pause that would spin.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind as Kind;
    let of_one_connection = matches!(
        error.kind(),
        Kind::ConnectionRefused | Kind::ConnectionAborted | Kind::ConnectionReset
    );
    if !of_one_connection {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
