//! A call of a gateway that is under way: ended where it would not be made like that any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use pinfold_model::network::HostName;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

use super::gateway::Denied;
use super::{Body, BoxError};
use crate::gate::Inner;
use crate::gateways::{Call, NoCall};

/// How long a call may go on while nobody can say whether it may.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between the first two questions; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// Lives as long as its call: the answer's body holds it, and what the call is upgraded to.
pub(super) struct Standing {
    revoked: CancellationToken,
    _watch: AbortOnDropHandle<()>,
}

/// The gateway of a call, or its secret, was changed while the call was under way.
#[derive(Debug, thiserror::Error)]
#[error("the gateway of this call was changed or deleted")]
struct Revoked;

impl Standing {
    /// `changes` is from before the call was granted, so that none is missed.
    pub(super) fn watch(
        inner: &Arc<Inner>,
        host: &HostName,
        token: String,
        granted: Call,
        mut changes: watch::Receiver<()>,
    ) -> Arc<Self> {
        let (inner, host) = (Arc::clone(inner), host.clone());
        let revoked = CancellationToken::new();
        let revoke = revoked.clone();
        let watch = async move {
            while changes.changed().await.is_ok() {
                let Some((kind, gateways, _)) = inner.gateways_at(&host) else {
                    break;
                };
                let now = async {
                    let mut pause = PAUSE;
                    loop {
                        match gateways.call(kind, &token).await {
                            // Most changes are of something else, which ends no call while a database
                            // is busy.
                            Err(NoCall::Unavailable(_)) => tokio::time::sleep(pause).await,
                            call => return call,
                        }
                        pause *= 2;
                    }
                };
                let now = tokio::time::timeout(PATIENCE, now).await;
                // Where nobody can say, it has no ground to go on.
                if !matches!(now, Ok(Ok(call)) if call == granted) {
                    revoke.cancel();
                    return;
                }
            }
            // Nobody is left who could change anything.
        };
        Arc::new(Self {
            revoked,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch)),
        })
    }

    async fn revoked(&self) {
        self.revoked.cancelled().await;
    }

    /// The answer that `call` gives, which breaks off where the call has to end.
    pub(super) async fn hold(
        self: &Arc<Self>,
        call: impl Future<Output = Result<Response<Body>, Denied>>,
    ) -> Result<Response<Body>, Denied> {
        tokio::select! {
            biased;
            () = self.revoked() => Err(Denied::Revoked),
            answered = call => answered.map(|response| response.map(|body| {
                let until = Until {
                    body,
                    revoked: Box::pin(self.revoked.clone().cancelled_owned()),
                    _standing: Arc::clone(self),
                };
                until.boxed()
            })),
        }
    }
}

/// Completes when that call has to end, of a gateway; another has nothing that could change.
pub(super) async fn revoked(standing: Option<&Standing>) {
    match standing {
        Some(standing) => standing.revoked().await,
        None => std::future::pending().await,
    }
}

/// A body that ends with an error when its call is revoked: what has come so far must not look like all
/// of it.
struct Until {
    body: Body,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
    _standing: Arc<Standing>,
}

impl hyper::body::Body for Until {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Revoked.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
