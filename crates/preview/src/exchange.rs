//! One request to a port inside, up to the head of its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body::Body as _;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use pinfold_engine::Visit;
use pinfold_model::{Code, Error};

use crate::limits::Limits;
use crate::pool::Pool;

/// Kept connections that may turn out to be closed, before a new one is made.
const REUSES_MAX: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("the port could not be reached")]
    Dial(#[source] Error),
    #[error("the application did not answer with HTTP")]
    Broken(#[source] hyper::Error),
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Dial(error) => error,
            Unanswered::Broken(source) => {
                let text = if source.is_parse_too_large() {
                    "the application's answer has headers that are too large"
                } else if source.is_parse() {
                    "the application's answer is not valid HTTP"
                } else {
                    "the application closed the connection before it answered"
                };
                Self::new(Code::PreviewUnavailable, text).because(source)
            }
        }
    }
}

/// Sends a request over a kept connection or a new one. A kept one may be closed at the moment that
/// we use it: what surely was not read then, or may be read twice, goes over another one.
pub(crate) async fn send(
    pool: &Arc<Pool>,
    limits: &Limits,
    visit: &Visit,
    mut request: Request<Body>,
) -> Result<(Response<Incoming>, SendRequest<Body>), Unanswered> {
    let place = visit.place();
    for _ in 0..REUSES_MAX {
        let Some(mut sender) = pool.take(&place) else {
            break;
        };
        let again = repeatable(&request);
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, sender)),
            Err(mut failed) => match (failed.take_message(), again) {
                (Some(unsent), _) => request = unsent,
                (None, Some(copy)) if lost(failed.error()) => request = copy,
                _ => return Err(Unanswered::Broken(failed.into_error())),
            },
        }
    }
    let mut sender = connect(limits, visit).await?;
    let response = sender.send_request(request).await;
    Ok((response.map_err(Unanswered::Broken)?, sender))
}

async fn connect(limits: &Limits, visit: &Visit) -> Result<SendRequest<Body>, Unanswered> {
    let stream = visit.dial(limits.dial).await.map_err(Unanswered::Dial)?;
    // Without it small writes wait for acknowledgements; a stream works without it too.
    let _ = stream.set_nodelay(true);
    let handshake = Builder::new()
        .max_buf_size(limits.head_max_bytes)
        .max_headers(limits.headers_max)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(Unanswered::Broken)?;
    // Ends with the connection, which ends when nobody holds its sender or reads its answer.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an application ended");
        }
    });
    Ok(sender)
}

/// A copy of a request that may be sent twice: it changes nothing (RFC 9110 section 9.2.2) and has no
/// body.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// The connection ended before any of the answer came.
fn lost(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}
