//! Routes of runs of pipelines.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::Stream;
use pinfold_engine::{PageRequest, ReportBounds, RunReader};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Failure, IdempotencyKey, Json, Path, Query, RequestTag};
use pinfold_model::{Error, limits};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::pipeline as convert;
use crate::output::begins_after;
use crate::sandboxes::accepted;
use crate::state::Api;
use crate::{ids, page, render};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(submit_pipeline, list_pipeline_runs))
        .routes(routes!(get_pipeline_run))
        .routes(routes!(cancel_pipeline_run))
        .routes(routes!(get_pipeline_report))
        .routes(routes!(stream_pipeline_run))
}

type Answer<T> = Result<Json<T>, Failure>;

/// Runs a markdown document: its fenced `bash` blocks, one after the other in one fresh sandbox,
/// which is destroyed at the end. Answers at once; the stream tells the rest. What can be judged
/// before the run is judged here: the document, the image, the bounds, the quota.
#[utoipa::path(post, path = "/v1/pipeline-runs", tag = "pipelines",
    params(("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::SubmitPipeline,
    responses(
        (status = 201, description = "accepted", body = wire::PipelineRun),
        (status = 200, description = "accepted by an earlier request with the same key", body = wire::PipelineRun)))]
async fn submit_pipeline(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::SubmitPipeline>,
) -> Result<Response, Failure> {
    let request = convert::from_submit(request)?;
    let run = api.engine.submit_run(&ctx, request, key.as_deref()).await?;
    Ok(accepted(run, convert::run))
}

/// Lists runs, newest first, without their steps. A run is forgotten seven days after its end unless
/// the operator chose otherwise.
#[utoipa::path(get, path = "/v1/pipeline-runs", tag = "pipelines", params(wire::ListPipelineRuns),
    responses((status = 200, body = wire::Page<wire::PipelineRun>)))]
async fn list_pipeline_runs(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListPipelineRuns>,
) -> Answer<wire::Page<wire::PipelineRun>> {
    let request = run_page(query.limit, query.cursor.as_deref())?;
    let state = query.state.map(convert::from_state).transpose()?;
    let found = api.engine.list_runs(&ctx, state, &request).await?;
    Ok(Json(page::to_wire(found, convert::summary)))
}

fn run_page(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Failure> {
    let limit = limit.unwrap_or(limits::RUN_PAGE_MAX);
    if limit > limits::RUN_PAGE_MAX {
        let most = limits::RUN_PAGE_MAX;
        let text = format!("limit must be from 1 to {most}: runs are larger than other items");
        return Err(Error::invalid("limit", text).into());
    }
    page::request(Some(limit), cursor)
}

/// One run with its steps.
#[utoipa::path(get, path = "/v1/pipeline-runs/{pipeline_run_id}", tag = "pipelines",
    params(("pipeline_run_id" = u64, Path)),
    responses((status = 200, body = wire::PipelineRun)))]
async fn get_pipeline_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::PipelineRun> {
    let run = api.engine.get_run(&ctx, ids::run(&id)?).await?;
    Ok(Json(convert::run(run)))
}

/// Asks a run to end: its step is killed and its sandbox destroyed. Answers at once; of a run that
/// has ended it answers with how it ended, and repeating it is harmless.
#[utoipa::path(post, path = "/v1/pipeline-runs/{pipeline_run_id}/cancel", tag = "pipelines",
    params(("pipeline_run_id" = u64, Path)),
    responses((status = 200, body = wire::PipelineRun)))]
async fn cancel_pipeline_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::PipelineRun> {
    let run = api.engine.cancel_run(&ctx, ids::run(&id)?).await?;
    Ok(Json(convert::run(run)))
}

/// A run with the beginning of what its finished steps wrote. All of it is read through the stream,
/// or as the output of the steps' commands.
#[utoipa::path(get, path = "/v1/pipeline-runs/{pipeline_run_id}/report", tag = "pipelines",
    params(("pipeline_run_id" = u64, Path), wire::PipelineReportQuery),
    responses((status = 200, body = wire::PipelineReport)))]
async fn get_pipeline_report(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::PipelineReportQuery>,
) -> Answer<wire::PipelineReport> {
    let wanted = query
        .stream_bytes
        .unwrap_or(wire::bound::REPORT_STREAM_DEFAULT);
    if wanted > wire::bound::REPORT_STREAM_MAX {
        let text = "stream_bytes is at most 1048576; the stream has all of the output";
        return Err(Error::invalid("stream_bytes", text).into());
    }
    let bounds = ReportBounds {
        stream_bytes: wanted as usize,
        total_bytes: wire::bound::REPORT_BYTES,
    };
    let id = ids::run(&id)?;
    let report = api.engine.report_run(&ctx, id, bounds).await?;
    Ok(Json(convert::report(report)))
}

/// A run's events as they happen: `step_started`, `output`, `truncated`, `step_ended`, `ended`; the
/// id is the event's number, and the stream closes behind `ended`. A failure on our side is an event
/// `error` with the error's body. Comments every 15 seconds keep the connection.
#[utoipa::path(get, path = "/v1/pipeline-runs/{pipeline_run_id}/stream", tag = "pipelines",
    params(
        ("pipeline_run_id" = u64, Path), wire::PipelineEventsQuery,
        ("last-event-id" = Option<u64>, Header, description = "wins over `after_seq`")),
    responses((status = 200, content_type = "text/event-stream", body = wire::PipelineEvent)))]
async fn stream_pipeline_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::PipelineEventsQuery>,
    headers: HeaderMap,
    tag: RequestTag,
    draining: Draining,
) -> Result<Response, Failure> {
    let id = ids::run(&id)?;
    let after = begins_after(&headers, query.after_seq)?;
    let reader = api.engine.follow_run(&ctx, id, after).await?;
    Ok(sse::respond(events(reader, tag.shown), draining))
}

/// Events up to the last one, or an error, which names the request as `shown`.
fn events(reader: RunReader, shown: String) -> impl Stream<Item = Event> + Send {
    futures::stream::unfold(Some((reader, shown)), |source| async move {
        let (mut reader, shown) = source?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some((seq, event))) => {
                let event = convert::pipeline_event(seq, event);
                let made = Event::json(event.event(), Some(seq.to_string()), &event);
                let made = made.expect("events are plain data");
                Some((made, Some((reader, shown))))
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "a stream of a pipeline's run broke off");
                let made = Event::json("error", None, &render::body(&error, &shown));
                Some((made.expect("errors are plain data"), None))
            }
        }
    })
}
