//! Handlers of axons' events.
//!
//! Their stream has no ids: an SDK takes each empty line behind an event with an id, and so each ping, for
//! another event, without data. Who comes back says behind which sequence number.

use axum::extract::State;
use axum::response::Response;
use futures::Stream as Events;
use pinfold_engine::{AxonReader, Engine};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Json, Path, Query};

use super::errors::{Refused, status_of};
use super::from_wire::axon as from_wire;
use super::poll::{self, RequestKey};
use super::stream::{COME_BACK, PING, error};
use super::{ids, to_wire, wire};

pub(super) async fn publish(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::Publish>,
) -> Result<Json<wire::Published>, Refused> {
    let (id, event) = (ids::axon(&id)?, from_wire::event(request)?);
    let published = engine.publish_to_axon(&ctx, &id, event, key.as_deref());
    let published = published.await?;
    Ok(Json(wire::Published {
        sequence: published.sequence,
        timestamp_ms: to_wire::time(published.at),
    }))
}

/// The last event first.
pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::ListAxonEvents>,
) -> Result<Json<wire::AxonEvents>, Refused> {
    let id = ids::axon(&id)?;
    let before = query.starting_after.as_deref().map(str::parse).transpose();
    let before: Option<u64> = before.map_err(|_| {
        Refused::invalid(
            "starting_after",
            "events are named by their sequence numbers",
        )
    })?;
    let limit = poll::limit(query.limit)?;
    let page = engine.list_axon_events(&ctx, &id, before, limit).await?;
    Ok(Json(wire::AxonEvents {
        events: page.events.into_iter().map(to_wire::axon_event).collect(),
        has_more: page.more,
        total_count: (query.include_total_count != Some(false)).then_some(page.total),
    }))
}

pub(super) async fn subscribe(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::Subscribe>,
    draining: Draining,
) -> Result<Response, Refused> {
    // What is before the first event is before it by however much.
    let after = u64::try_from(query.after_sequence.unwrap_or(0)).unwrap_or(0);
    let reader = engine.follow_axon(&ctx, &ids::axon(&id)?, after).await?;
    // It ends by itself when the server does, with an event that says so.
    let events = events(reader, draining);
    Ok(sse::respond_with(events, Draining::default(), PING, "ping"))
}

fn events(reader: AxonReader, draining: Draining) -> impl Events<Item = Event> + Send {
    futures::stream::unfold(Some((reader, draining)), |following| async {
        let (mut reader, draining) = following?;
        let next = tokio::select! {
            next = reader.next() => next,
            () = draining.wait_owned() => {
                return Some((error(COME_BACK, "the server is shutting down"), None));
            }
        };
        match next {
            Ok(Some(event)) => {
                let event = Event::ascii_json("", None, &to_wire::axon_event(event));
                let event = event.expect("texts and numbers are plain data");
                Some((event, Some((reader, draining))))
            }
            Ok(None) => None,
            Err(broken) => {
                let status = status_of(broken.code()).as_u16();
                Some((error(status, broken.message()), None))
            }
        }
    })
}
