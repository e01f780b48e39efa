//! Bodies on their way: counted, never held, and cut off where their preview ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::{BoxError, Error};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use metrics::Counter;
use pinfold_engine::Visit;
use tokio::sync::OwnedSemaphorePermit;

use crate::pool::{Place, Pool};

/// How long a connection may take to be ready for another request after its answer has come.
const READY: Duration = Duration::from_secs(5);

/// When a body last moved.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    moved_ms: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            moved_ms: AtomicU64::new(0),
        }
    }

    fn moved(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for `patience`.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let due = moved.saturating_add(patience);
            match due.checked_sub(self.began.elapsed()) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }
}

/// A request's body on its way in.
pub(crate) struct Sent {
    inner: Body,
    counter: Counter,
    progress: Arc<Progress>,
}

impl Sent {
    pub(crate) fn new(inner: Body, counter: Counter, progress: Arc<Progress>) -> Self {
        Self {
            inner,
            counter,
            progress,
        }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.progress.moved();
            count(&self.counter, frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What an answer holds until it is over.
pub(crate) struct Held {
    /// The sandbox is in use.
    pub(crate) visit: Visit,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A connection that goes back when its answer has been read.
pub(crate) struct Lent {
    pub(crate) sender: SendRequest<Body>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) place: Place,
    /// Not so after a request with a body: what of it the application left unread it takes for its
    /// next request, and the next caller would get the answer to that.
    pub(crate) reusable: bool,
}

impl Lent {
    /// The answer is read. The connection may need a moment more before it is ready for a request;
    /// one that is not reusable closes when what is under way on it has ended.
    fn give_back(mut self) {
        if !self.reusable {
            return;
        }
        if self.sender.is_ready() {
            return self.pool.put(self.place, self.sender);
        }
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(READY, self.sender.ready()).await {
                self.pool.put(self.place, self.sender);
            }
        });
    }
}

/// An answer's body on its way out.
pub(crate) struct Answered {
    inner: Incoming,
    counter: Counter,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    lent: Option<Lent>,
    _held: Held,
}

impl Answered {
    pub(crate) fn new(
        inner: Incoming,
        counter: Counter,
        ended: impl Future<Output = ()> + Send + 'static,
        lent: Lent,
        held: Held,
    ) -> Self {
        let mut answered = Self {
            inner,
            counter,
            ended: Box::pin(ended),
            lent: Some(lent),
            _held: held,
        };
        if answered.inner.is_end_stream() {
            answered.read();
        }
        answered
    }

    fn read(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            self.lent = None;
            return Poll::Ready(Some(Err("the preview has ended".into())));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                count(&self.counter, frame);
                if self.inner.is_end_stream() {
                    self.read();
                }
            }
            Poll::Ready(Some(Err(_))) => self.lent = None,
            Poll::Ready(None) => self.read(),
            Poll::Pending => {}
        }
        polled.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn count(counter: &Counter, frame: &Frame<Bytes>) {
    if let Some(data) = frame.data_ref() {
        counter.increment(data.len() as u64);
    }
}
