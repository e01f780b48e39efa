//! Bodies that a request was answered without: the rest is read, so that the connection goes on.
//!
//! hyper closes a connection whose request was not read to its end, and says nothing about it. A client
//! that sends its next request on it a moment later loses that, and must not repeat most of them. So
//! what is small is read and thrown away before the answer, and what is not is announced as a close.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT, HeaderValue};
use axum::http::{Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

/// What is read of a body that nobody wanted.
const REST_MAX_BYTES: u64 = 256 << 10;
const REST_MAX_TIME: Duration = Duration::from_secs(1);

/// Finds again what a handler did not read.
pub(crate) struct Leftover {
    rest: Arc<Mutex<Option<Body>>>,
    /// The client sends its body only when somebody begins to read it.
    waits: bool,
}

impl Leftover {
    /// Takes note of the request's body.
    pub(crate) fn of(request: Request) -> (Self, Request) {
        let leftover = Self {
            rest: Arc::default(),
            waits: request.headers().contains_key(EXPECT),
        };
        // Only in HTTP/1 does a connection depend on it.
        if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
            return (leftover, request);
        }
        let rest = Arc::clone(&leftover.rest);
        let noted = request.map(|body| {
            Body::new(Noted {
                body: Some(body),
                rest,
            })
        });
        (leftover, noted)
    }

    /// Makes the connection fit for its next request, or has the answer say that it is not.
    pub(crate) async fn settle(self, response: &mut Response<Body>) {
        let rest = take(&self.rest);
        let Some(rest) = rest else {
            return;
        };
        if self.waits || !thrown_away(rest).await {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}

fn take(rest: &Mutex<Option<Body>>) -> Option<Body> {
    rest.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Whether the body ended within the bounds.
async fn thrown_away(mut body: Body) -> bool {
    if body.size_hint().lower() > REST_MAX_BYTES {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return false;
            };
            bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            if bytes > REST_MAX_BYTES {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(REST_MAX_TIME, read).await == Ok(true)
}

/// A body that leaves its rest behind when it is dropped.
struct Noted {
    /// `None` when it was read to its end, and while it is dropped.
    body: Option<Body>,
    rest: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        // Bodies in chunks do not say by themselves that they are over.
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    fn request(body: Body) -> Request {
        Request::new(body)
    }

    async fn closes(request: Request, read: impl AsyncFnOnce(Body)) -> bool {
        let (leftover, request) = Leftover::of(request);
        read(request.into_body()).await;
        let mut response = Response::new(Body::empty());
        leftover.settle(&mut response).await;
        response.headers().contains_key(CONNECTION)
    }

    #[tokio::test]
    async fn a_small_rest_is_read_and_a_large_one_closes_the_connection() {
        assert!(!closes(request(Body::empty()), async |_| ()).await);
        assert!(!closes(request("small".into()), async |_| ()).await);
        let large = vec![b'x'; 1 << 20];
        assert!(closes(request(large.clone().into()), async |_| ()).await);
        let endless = || Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1024]));
        let chunks = futures::stream::repeat_with(endless);
        assert!(closes(request(Body::from_stream(chunks)), async |_| ()).await);
        let whole = async |body: Body| {
            body.collect().await.expect("whole");
        };
        assert!(!closes(request(large.into()), whole).await);
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_body_that_does_not_come() {
        let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        assert!(closes(request(Body::from_stream(never)), async |_| ()).await);
        let some = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let slow = some.chain(futures::stream::pending());
        assert!(closes(request(Body::from_stream(slow)), async |_| ()).await);
    }

    #[tokio::test]
    async fn a_body_in_chunks_that_was_read_leaves_nothing() {
        let whole = async |body: Body| {
            body.collect().await.expect("whole");
        };
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
        let mut expecting = request(Body::from_stream(chunks));
        let expect = HeaderValue::from_static("100-continue");
        expecting.headers_mut().insert(EXPECT, expect);
        assert!(!closes(expecting, whole).await);
    }

    #[tokio::test]
    async fn whoever_waits_to_be_asked_for_the_body_is_not_asked() {
        let mut expecting = request("small".into());
        let expect = HeaderValue::from_static("100-continue");
        expecting.headers_mut().insert(EXPECT, expect);
        assert!(closes(expecting, async |_| ()).await);
    }
}
