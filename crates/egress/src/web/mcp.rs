//! Calls of MCP gateways (streamable HTTP): which tools may be used is judged on the way there, and lists
//! of tools are cut on the way back.
//!
//! What is judged is what is sent: a message whose meaning two readers could see differently is refused,
//! not repaired.

mod answers;
mod judge;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, Incoming};
use pinfold_model::gateway::Tools;
use pinfold_model::network::HostName;
use tokio::sync::OwnedSemaphorePermit;

use super::gateway::{Denied, admitted, direct};
use super::headers::{prepare, strip};
use super::{Body, BoxError, Conversation, boxed, whole};
use crate::gateways::Call;
use crate::refusal::NoWay;
use answers::Events;
use judge::{Judged, judge};

/// The only place there is below the name of these gateways.
const PATH: &str = "/mcp";
/// Of a message on the way there, and of one that is answered, as far as they are looked through; in
/// memory while they are.
const MESSAGE_MAX: usize = 1 << 20;
const ANSWER_MAX: usize = 8 << 20;
/// Of one event.
const EVENT_MAX: usize = 1 << 20;
/// For a message to come to its end, and to be its turn.
const MESSAGE_TIME: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

pub(super) async fn call(
    conversation: &Conversation,
    host: &HostName,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Denied> {
    if request.uri().path() != PATH {
        return Err(Denied::NoPlace);
    }
    if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
        return Err(Denied::Method);
    }
    let (call, standing) = admitted(conversation, host, request.headers_mut()).await?;
    standing.hold(pass(conversation, call, request)).await
}

async fn pass(
    conversation: &Conversation,
    call: Call,
    request: Request<Incoming>,
) -> Result<Response<Body>, Denied> {
    let Some(tools) = call.tools.clone() else {
        return Err(Denied::NoPlace);
    };
    let (parts, body) = request.into_parts();
    let (body, lists, turn) = match parts.method {
        Method::POST => {
            check_form(&parts.headers)?;
            let (bytes, turn) = collected(conversation, body, MESSAGE_MAX).await?;
            match judge(&bytes, &tools) {
                Judged::Pass { lists } => (bytes, lists, Some(turn)),
                Judged::Answer(status, answer) => return Ok(json(status, answer.to_string())),
            }
        }
        _ => (Bytes::new(), false, None),
    };
    let length = body.len();
    let mut request = Request::from_parts(parts, whole(body));
    let target = call.endpoint.path().to_owned();
    prepare(&mut request, None).map_err(Denied::Upstream)?;
    let headers = request.headers_mut();
    for name in [ACCEPT_ENCODING, EXPECT, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
    if length > 0 {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let to = direct(&call, &target, &mut request)?;
    let sent = conversation.send(to, request).await;
    let mut response = sent.map_err(Denied::Upstream)?;
    // Before another is taken for the answer.
    drop(turn);
    strip(response.headers_mut());
    looked_through(conversation, response, tools, lists).await
}

/// Only what is read here as it is read there.
fn check_form(headers: &HeaderMap) -> Result<(), Denied> {
    let is = |wanted: &str, header: HeaderName| {
        let mut all = headers.get_all(header).iter();
        match (all.next(), all.next()) {
            (Some(one), None) => one.to_str().is_ok_and(|text| kind(text) == wanted),
            _ => false,
        }
    };
    if !is(JSON, CONTENT_TYPE) {
        return Err(Denied::Form("a message of MCP is application/json"));
    }
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|text| text.to_str().ok());
    let charset = text.and_then(|text| {
        text.to_ascii_lowercase()
            .split_once("charset")
            .map(|(_, rest)| {
                rest.trim_matches(|c: char| c == '=' || c == '"' || c.is_whitespace())
                    .to_owned()
            })
    });
    if charset.is_some_and(|charset| charset != "utf-8" && charset != "utf8") {
        return Err(Denied::Form("a message of MCP is in UTF-8"));
    }
    if headers.contains_key(CONTENT_ENCODING) && !is("identity", CONTENT_ENCODING) {
        return Err(Denied::Form(
            "a message to an MCP gateway is not compressed",
        ));
    }
    Ok(())
}

/// A content type without its parameters.
fn kind(text: &str) -> String {
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// A whole message, and the turn of its sandbox that it stands in memory with.
async fn collected(
    conversation: &Conversation,
    body: Incoming,
    max: usize,
) -> Result<(Bytes, OwnedSemaphorePermit), Denied> {
    let read = async {
        let turns = Arc::clone(&conversation.inner.messages);
        let turn = turns.acquire_owned().await.map_err(|_| Denied::Busy)?;
        match Limited::new(body, max).collect().await {
            Ok(collected) => Ok((collected.to_bytes(), turn)),
            Err(error) if error.is::<LengthLimitError>() => Err(Denied::TooLarge(max)),
            Err(error) => Err(Denied::Upstream(NoWay::Unreachable(error.to_string()))),
        }
    };
    let read = tokio::time::timeout(MESSAGE_TIME, read).await;
    read.unwrap_or(Err(Denied::Slow))
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    let form = HeaderValue::from_static(JSON);
    response.headers_mut().insert(CONTENT_TYPE, form);
    response
}

/// Lists of tools in an answer are cut; whatever else it says stays. Events are looked at one by one, as
/// they come; another answer is read to its end only where tools were asked for.
async fn looked_through(
    conversation: &Conversation,
    response: Response<Incoming>,
    tools: Tools,
    lists: bool,
) -> Result<Response<Body>, Denied> {
    let unreadable =
        || Denied::Upstream(NoWay::Unreachable("an answer that is no JSON".to_owned()));
    let headers = response.headers();
    let form = headers
        .get(CONTENT_TYPE)
        .and_then(|text| text.to_str().ok());
    let is_events = form.is_some_and(|text| kind(text) == EVENTS);
    // What is no success has words of its own, such as that a session has ended.
    if !is_events && (!lists || !response.status().is_success()) {
        return Ok(response.map(boxed));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(unreadable());
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    if is_events {
        let places = Arc::clone(&conversation.inner.streams);
        let cut = Cut {
            body,
            events: Some(Events::new(tools, EVENT_MAX)),
            _place: places.try_acquire_owned().map_err(|_| Denied::Busy)?,
        };
        return Ok(Response::from_parts(parts, cut.boxed()));
    }
    let (bytes, _turn) = collected(conversation, body, ANSWER_MAX).await?;
    let bytes = match bytes.is_empty() {
        true => bytes,
        false => answers::cut(&bytes, &tools).ok_or_else(unreadable)?,
    };
    Ok(Response::from_parts(parts, whole(bytes)))
}

/// A stream of events with lists of tools cut.
struct Cut {
    body: Incoming,
    /// `None` when it is over.
    events: Option<Events>,
    /// Among the streams of its sandbox.
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if self.events.is_none() {
                return Poll::Ready(None);
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    let rest = self.events.take().map(Events::finish).unwrap_or_default();
                    let frame = (!rest.is_empty()).then(|| Ok(Frame::data(rest.into())));
                    return Poll::Ready(frame);
                }
            };
            // What trails events says nothing that a client needs.
            let (Ok(data), Some(events)) = (frame.into_data(), &mut self.events) else {
                continue;
            };
            match events.feed(&data) {
                Ok(whole) if whole.is_empty() => {}
                Ok(whole) => return Poll::Ready(Some(Ok(Frame::data(whole.into())))),
                Err(error) => {
                    self.events = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
