//! What stands around every request of a facade: its id, its span, its counters, the panic catcher
//! and the rendering of failures.
//!
//! Never logs header values or query strings: keys travel in the first, file names in the second.

use std::error::Error as _;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use pinfold_model::{Code, Error, ErrorKind};
use tracing::Instrument;

use crate::failure::Failure;
use crate::leftover::Leftover;
use crate::rate::RateLimits;
use crate::request_tag::{HEADER, RequestTag};
use crate::serve::Peer;

/// Longer request targets are refused with 414.
const URI_MAX_BYTES: usize = 16 << 10;

/// One surface with its own shape of errors.
#[derive(Debug, Clone, Copy)]
pub struct Facade {
    /// For spans and counters: `native`, or a vendor's name.
    pub name: &'static str,
    /// Body (and, where the facade differs from [`crate::status_of`], status) of a failure, given
    /// the request id to show.
    pub render: fn(&Failure, &str) -> Response,
    /// Failures of what is behind the facade: nothing of ours, and may be asked often, so no errors
    /// in the log.
    pub elsewhere: &'static [Code],
}

impl Facade {
    /// Puts the facade around `router`, with envelopes for unknown routes and methods.
    pub fn wrap<S>(self, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.around(
            router
                .fallback(route_not_found)
                .method_not_allowed_fallback(method_not_allowed),
        )
    }

    /// The same around a router that answers every path itself.
    pub fn around<S>(self, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        router.layer(from_fn_with_state(self, edge))
    }
}

/// The answer to a path that no route has.
pub async fn route_not_found() -> Failure {
    Error::new(Code::RouteNotFound, "there is no such route; see /docs").into()
}

/// The answer to a route that has no such method; axum adds `Allow`.
pub async fn method_not_allowed() -> Failure {
    Failure::from(Error::new(
        Code::MethodNotAllowed,
        "the route does not have this method; the header Allow lists those it has",
    ))
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

async fn edge(State(facade): State<Facade>, mut request: Request, next: Next) -> Response {
    let tag = RequestTag::of(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http",
        facade = facade.name,
        %method,
        route,
        request_id = %tag.id,
    );
    request.extensions_mut().insert(tag.clone());
    let limits = Attempts::of(&request);
    let started = Instant::now();
    let response = async {
        let (leftover, request) = Leftover::of(request);
        let response = limits.count(answered(request, next).await);
        let mut response = facade.rendered(response, &tag);
        leftover.settle(&mut response).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    count(facade, method.as_str(), route, response.status(), started);
    response
}

/// Where failed attempts of the request's client are counted, if anywhere.
struct Attempts(Option<(RateLimits, IpAddr)>);

impl Attempts {
    fn of(request: &Request) -> Self {
        let limits = request.extensions().get::<RateLimits>().cloned();
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
        Self(limits.zip(peer.map(|address| address.ip())))
    }

    fn count(&self, response: Response) -> Response {
        let failed = response
            .extensions()
            .get::<Failure>()
            .is_some_and(|failure| failure.error().kind() == ErrorKind::Unauthenticated);
        match &self.0 {
            Some((limits, address)) if failed => match limits.admit_failure(*address) {
                Ok(()) => response,
                Err(error) => Failure::from(error).into_response(),
            },
            _ => response,
        }
    }
}

/// Runs the handler; a panic becomes an internal error instead of a dropped connection.
async fn answered(request: Request, next: Next) -> Response {
    if request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len())
        > URI_MAX_BYTES
    {
        return Failure::from(Error::invalid("url", "the URL may be at most 16 KiB long"))
            .with_status(StatusCode::URI_TOO_LONG)
            .into_response();
    }
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("of unknown type");
            let cause = std::io::Error::other(format!("a handler panicked: {text}"));
            Failure::from(Error::internal(cause)).into_response()
        }
    }
}

impl Facade {
    fn rendered(self, mut response: Response, tag: &RequestTag) -> Response {
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            self.log(&failure);
            // Headers of the failure and of axum (Allow) survive; the body is the facade's.
            let mut rendered = (self.render)(&failure, &tag.shown);
            for (name, value) in response.headers() {
                if !rendered.headers().contains_key(name) && name != "content-length" {
                    rendered.headers_mut().insert(name, value.clone());
                }
            }
            response = rendered;
        }
        if let Ok(value) = HeaderValue::from_str(&tag.shown) {
            // An answer that is somebody else's may have one of its own.
            response.headers_mut().entry(HEADER).or_insert(value);
        }
        response
    }

    /// Errors end here, so they are logged here and nowhere before, with their whole chain.
    fn log(self, failure: &Failure) {
        let error = failure.error();
        let status = failure.status().as_u16();
        let elsewhere = self.elsewhere.contains(&error.code());
        if failure.status().is_server_error() && !elsewhere {
            let mut causes = Vec::new();
            let mut cause = error.source();
            while let Some(one) = cause {
                causes.push(one.to_string());
                cause = one.source();
            }
            tracing::error!(status, code = %error.code(), causes = causes.join(": "), "{error}");
        } else {
            tracing::debug!(status, code = %error.code(), "{error}");
        }
    }
}

fn count(facade: Facade, method: &str, route: String, status: StatusCode, started: Instant) {
    let labels = [
        ("facade", facade.name.to_owned()),
        ("method", known_method(method).to_owned()),
        ("route", route),
    ];
    metrics::histogram!("pinfold_http_request_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    let [facade, method, route] = labels;
    let status = ("status", status.as_u16().to_string());
    metrics::counter!(
        "pinfold_http_requests_total",
        &[facade, method, route, status]
    )
    .increment(1);
}

/// Callers may invent methods; labels must stay few.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Keeps the levels of what is logged.
    #[derive(Default, Clone)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl Subscriber for Levels {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut levels = self.0.lock().expect("no panic under this lock");
            levels.push(*event.metadata().level());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn faults_of_ours_are_errors_in_the_log_and_those_of_applications_are_not() {
        let render = |_: &Failure, _: &str| Response::default();
        let outside: &[Code] = &[Code::PreviewUnavailable, Code::Timeout];
        for (elsewhere, code, level) in [
            (&[][..], Code::Internal, Level::ERROR),
            (&[], Code::Timeout, Level::ERROR),
            (&[], Code::RouteNotFound, Level::DEBUG),
            (outside, Code::Internal, Level::ERROR),
            (outside, Code::Timeout, Level::DEBUG),
            (outside, Code::PreviewUnavailable, Level::DEBUG),
        ] {
            let levels = Levels::default();
            let failure = Failure::from(Error::new(code, "said"));
            tracing::subscriber::with_default(levels.clone(), || {
                let facade = Facade {
                    name: "test",
                    render,
                    elsewhere,
                };
                facade.log(&failure);
            });
            let levels = levels.0.lock().expect("no panic under this lock");
            assert_eq!(*levels, [level], "{elsewhere:?} {code}");
        }
    }
}
