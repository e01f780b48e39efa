//! Routes of a command's output: pages of records, an event stream, raw bytes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use pinfold_engine::{LogsRequest, OutputReader};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Failure, Json, Path, Query, RequestTag};
use pinfold_model::journal::{RecordBody, Stream as StreamKind};
use pinfold_model::{CommandId, Ctx, Error, Result};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::journal as convert;
use crate::state::Api;
use crate::{ids, render};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_logs))
        .routes(routes!(stream_command))
        .routes(routes!(get_output))
}

/// A page of a command's journal, from any record on. Readable while it runs and after.
#[utoipa::path(get, path = "/v1/commands/{command_id}/logs", tag = "output",
    params(("command_id" = String, Path), wire::LogsQuery),
    responses((status = 200, body = wire::LogPage)))]
async fn get_logs(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::LogsQuery>,
) -> std::result::Result<Json<wire::LogPage>, Failure> {
    let id = ids::command(&id)?;
    let limit = query.limit.unwrap_or(wire::bound::LOG_PAGE_MAX);
    if !(1..=wire::bound::LOG_PAGE_MAX).contains(&limit) {
        return Err(Error::invalid("limit", "limit must be from 1 to 1000").into());
    }
    let request = LogsRequest {
        after_seq: query.after_seq.unwrap_or(0),
        limit: limit as usize,
        stream: query.stream.map(convert::from_stream).transpose()?,
    };
    let page = api.engine.read_logs(&ctx, &id, request).await?;
    let mut records = Vec::with_capacity(page.records.len());
    for record in page.records {
        records.push(to_wire(&api, &ctx, &id, record).await?);
    }
    Ok(Json(wire::LogPage {
        records,
        next_after_seq: page.next_after_seq,
        at_end: page.at_end,
    }))
}

/// Far above the moment between an end in the journal and an end that is told.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Only the record of the end needs the command itself.
async fn to_wire(
    api: &Api,
    ctx: &Ctx,
    id: &CommandId,
    record: pinfold_model::journal::Record,
) -> Result<wire::Record> {
    let ended = match record.body {
        // The record of the end is there a moment before the command is known to have ended.
        RecordBody::End { .. } => {
            let ended = api.engine.wait_command(ctx, id, Some(END_PATIENCE));
            Some(ended.await?)
        }
        _ => None,
    };
    Ok(convert::to_wire(record, || {
        ended.expect("looked up for every end")
    }))
}

/// A command's journal as server-sent events while it grows: `output`, `truncated`, `end`; the data
/// is the record, the id its sequence number, and the stream closes behind `end`. A failure on our
/// side is an event `error` with the error's body. Comments every 15 seconds keep the connection.
#[utoipa::path(get, path = "/v1/commands/{command_id}/stream", tag = "output",
    params(
        ("command_id" = String, Path), wire::StreamQuery,
        ("last-event-id" = Option<u64>, Header, description = "wins over `after_seq`")),
    responses((status = 200, content_type = "text/event-stream", body = wire::Record)))]
async fn stream_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::StreamQuery>,
    headers: HeaderMap,
    tag: RequestTag,
    draining: Draining,
) -> std::result::Result<Response, Failure> {
    let id = ids::command(&id)?;
    let after = begins_after(&headers, query.after_seq)?;
    let wanted = query.stream.map(convert::from_stream).transpose()?;
    let reader = reader(&api, &ctx, &id, after, wanted).await?;
    // Output is kept for a time only; behind what is kept the end still has to come.
    let records = until_end(reader)
        .map(Some)
        .chain(futures::stream::iter([None]));
    let mut ended = false;
    let records = records.take_while(move |record| {
        let more = !ended;
        ended = matches!(
            record,
            Some(
                Ok(Record {
                    body: RecordBody::End { .. },
                    ..
                }) | Err(_)
            )
        );
        async move { more }
    });
    let events = records.then(move |record| {
        let (api, ctx, id, shown) = (api.clone(), ctx.clone(), id.clone(), tag.shown.clone());
        async move {
            let record = match record {
                Some(Ok(record)) => to_wire(&api, &ctx, &id, record).await,
                Some(Err(error)) => Err(error),
                None => end_without_record(&api, &ctx, &id, after).await,
            };
            event(record, &shown)
        }
    });
    Ok(sse::respond(events, draining))
}

/// The end of a command whose journal is no longer kept.
async fn end_without_record(
    api: &Api,
    ctx: &Ctx,
    id: &CommandId,
    after: u64,
) -> Result<wire::Record> {
    let command = api.engine.wait_command(ctx, id, None).await?;
    let at = command.ended_at.unwrap_or(command.created_at);
    let record = Record {
        seq: command.last_seq.unwrap_or(0).max(after + 1),
        time: at,
        body: RecordBody::End {
            state: command.state,
        },
    };
    Ok(convert::to_wire(record, || command))
}

/// Behind which number a stream begins; the header wins.
pub(crate) fn begins_after(headers: &HeaderMap, after_seq: Option<u64>) -> Result<u64> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(after_seq.unwrap_or(0));
    };
    let text = value.to_str().unwrap_or_default();
    text.trim().parse().map_err(|_| {
        Error::invalid(
            "last-event-id",
            "Last-Event-ID must be a sequence number of this stream",
        )
    })
}

fn event(record: Result<wire::Record>, request_id: &str) -> Event {
    let made = match &record {
        Ok(record) => Event::json(record.event(), Some(record.seq().to_string()), record),
        Err(error) => {
            tracing::warn!(code = %error.code(), "a stream of output broke off");
            Event::json("error", None, &render::body(error, request_id))
        }
    };
    made.expect("records and errors are plain data")
}

type Record = pinfold_model::journal::Record;

async fn reader(
    api: &Api,
    ctx: &Ctx,
    id: &CommandId,
    after_seq: u64,
    wanted: Option<StreamKind>,
) -> Result<OutputReader> {
    let reader = api.engine.reader(ctx, id, after_seq).await?;
    Ok(match wanted {
        Some(stream) => reader.only(stream),
        None => reader,
    })
}

/// Records up to and including the end, or an error.
fn until_end(reader: OutputReader) -> impl Stream<Item = Result<Record>> + Send {
    futures::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
            Ok(Some(record)) if matches!(record.body, RecordBody::End { .. }) => {
                Some((Ok(record), None))
            }
            Ok(Some(record)) => Some((Ok(record), Some(reader))),
        }
    })
}

/// A command's output as raw bytes: what is there now, or with `follow` until the command ends.
#[utoipa::path(get, path = "/v1/commands/{command_id}/output", tag = "output",
    params(("command_id" = String, Path), wire::OutputQuery),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn get_output(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::OutputQuery>,
    draining: Draining,
) -> std::result::Result<Response, Failure> {
    let id = ids::command(&id)?;
    let wanted = query.stream.map(convert::from_stream).transpose()?;
    let kind = [(CONTENT_TYPE, "application/octet-stream")];
    if query.follow.unwrap_or(false) {
        let reader = reader(&api, &ctx, &id, 0, wanted).await?;
        let drained = draining.wait_owned();
        let pieces = cut_by(until_end(reader).filter_map(written), drained);
        return Ok((kind, Body::from_stream(pieces)).into_response());
    }
    // The first page is read before the answer begins, so that a missing command is an error.
    let first = api
        .engine
        .read_logs(&ctx, &id, page_after(0, wanted))
        .await?;
    let start = Some((0, Some(first)));
    let pages = futures::stream::try_unfold(start, move |at| {
        let (api, ctx, id) = (api.clone(), ctx.clone(), id.clone());
        async move {
            let Some((after, ready)) = at else {
                return Ok::<_, Error>(None);
            };
            let page = match ready {
                Some(page) => page,
                None => {
                    api.engine
                        .read_logs(&ctx, &id, page_after(after, wanted))
                        .await?
                }
            };
            let next = (!page.at_end).then_some((page.next_after_seq, None));
            let records = futures::stream::iter(page.records.into_iter().map(Ok));
            Ok(Some((records, next)))
        }
    });
    let pieces = futures::TryStreamExt::try_flatten(pages).filter_map(written);
    Ok((kind, Body::from_stream(pieces)).into_response())
}

fn page_after(after_seq: u64, stream: Option<StreamKind>) -> LogsRequest {
    LogsRequest {
        after_seq,
        limit: wire::bound::LOG_PAGE_MAX as usize,
        stream,
    }
}

async fn written(record: Result<Record>) -> Option<Result<Bytes>> {
    match record {
        Ok(Record {
            body: RecordBody::Output { bytes, .. },
            ..
        }) => Some(Ok(bytes.into())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Raw bytes have no place to say that more would come, so a draining server breaks the body off
/// instead of ending it as if that were all.
fn cut_by(
    pieces: impl Stream<Item = Result<Bytes>> + Send,
    drained: impl Future<Output = ()> + Send,
) -> impl Stream<Item = Result<Bytes>> + Send {
    let cut = futures::stream::once(drained).map(|()| {
        Err(Error::new(
            pinfold_model::Code::Unavailable,
            "the server is shutting down",
        ))
    });
    let pieces = pieces.map(Some).chain(futures::stream::iter([None]));
    futures::stream::select(pieces, cut.map(Some))
        .take_while(|piece| {
            let more = piece.is_some();
            async move { more }
        })
        .filter_map(|piece| async move { piece })
}
