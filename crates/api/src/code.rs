//! Routes of code contexts and runs of code.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::Stream;
use pinfold_engine::{CodeEvent, CodeReader};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Failure, IdempotencyKey, Json, Path, Query, RequestTag};
use pinfold_model::{CommandId, Ctx, Result};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::runs_on;
use crate::convert::code as convert;
use crate::output::begins_after;
use crate::sandboxes::accepted;
use crate::state::Api;
use crate::{ids, render};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_code_context, list_code_contexts))
        .routes(routes!(get_code_context, delete_code_context))
        .routes(routes!(restart_code_context))
        .routes(routes!(start_code))
        .routes(routes!(run_code))
        .routes(routes!(get_code_run))
        .routes(routes!(stream_code_run))
        .routes(routes!(interrupt_code_run))
}

type Answer<T> = std::result::Result<Json<T>, Failure>;

/// Makes a code context and starts its interpreter. A sandbox may have 32.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/contexts", tag = "code",
    params(
        ("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::CreateCodeContext,
    responses(
        (status = 201, description = "made", body = wire::CodeContext),
        (status = 200, description = "made by an earlier request with the same key", body = wire::CodeContext)))]
async fn create_code_context(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::CreateCodeContext>,
) -> std::result::Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = convert::from_create(request)?;
    let made = api
        .engine
        .create_code_context(&ctx, &sandbox, request, key.as_deref())
        .await?;
    Ok(accepted(made, convert::context))
}

/// A sandbox's code contexts, oldest first; default ones too.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/contexts", tag = "code",
    params(("sandbox_id" = String, Path)),
    responses((status = 200, body = wire::CodeContextList)))]
async fn list_code_contexts(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
) -> Answer<wire::CodeContextList> {
    let sandbox = ids::sandbox(&sandbox)?;
    let found = api.engine.list_code_contexts(&ctx, &sandbox).await?;
    let contexts = found.into_iter().map(convert::context).collect();
    Ok(Json(wire::CodeContextList { contexts }))
}

/// One code context.
#[utoipa::path(get, path = "/v1/contexts/{context_id}", tag = "code",
    params(("context_id" = String, Path)),
    responses((status = 200, body = wire::CodeContext)))]
async fn get_code_context(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::CodeContext> {
    let id = ids::code_context(&id)?;
    let context = api.engine.get_code_context(&ctx, &id).await?;
    Ok(Json(convert::context(context)))
}

/// Ends a code context with everything that it started; answers with what it was.
#[utoipa::path(delete, path = "/v1/contexts/{context_id}", tag = "code",
    params(("context_id" = String, Path)),
    responses((status = 200, body = wire::CodeContext)))]
async fn delete_code_context(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::CodeContext> {
    let id = ids::code_context(&id)?;
    let context = api.engine.delete_code_context(&ctx, &id).await?;
    Ok(Json(convert::context(context)))
}

/// Gives a code context a fresh interpreter; its variables are gone and runs under way end.
#[utoipa::path(post, path = "/v1/contexts/{context_id}/restart", tag = "code",
    params(("context_id" = String, Path)),
    responses((status = 200, body = wire::CodeContext)))]
async fn restart_code_context(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::CodeContext> {
    let id = ids::code_context(&id)?;
    let context = api.engine.restart_code_context(&ctx, &id).await?;
    Ok(Json(convert::context(context)))
}

/// Starts a run of code and answers at once; its stream tells the rest.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/code/runs", tag = "code",
    params(
        ("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::RunCode,
    responses(
        (status = 201, description = "started", body = wire::CodeRun),
        (status = 200, description = "started by an earlier request with the same key", body = wire::CodeRun)))]
async fn start_code(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::RunCode>,
) -> std::result::Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = convert::from_run(request)?;
    let started = api
        .engine
        .start_code(&ctx, &sandbox, request, key.as_deref())
        .await?;
    Ok(accepted(started, convert::run))
}

/// Runs code to its end and answers with everything it told. What the code raises is part of the
/// answer. If the connection breaks, the run goes on; the same request with the same key then waits
/// for it again.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/code", tag = "code",
    params(
        ("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::RunCode,
    responses((status = 200, body = wire::CodeRun)))]
async fn run_code(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    draining: Draining,
    Json(request): Json<wire::RunCode>,
) -> Answer<wire::CodeRun> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = convert::from_run(request)?;
    let run = api.engine.run_code(&ctx, &sandbox, request, key.as_deref());
    tokio::select! {
        run = run => Ok(Json(convert::run(run?.value))),
        () = draining.wait_owned() => Err(runs_on(key.as_deref(), UNFOUND).into()),
    }
}

const UNFOUND: &str = "the server is shutting down and the code runs on, but without an \
                       Idempotency-Key its result cannot be found; do not send it again unless that \
                       does no harm";

/// A run with everything it told until now, also after its end.
#[utoipa::path(get, path = "/v1/code/runs/{run_id}", tag = "code",
    params(("run_id" = String, Path)),
    responses((status = 200, body = wire::CodeRun)))]
async fn get_code_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::CodeRun> {
    let id = ids::command(&id)?;
    let run = api.engine.get_code_run(&ctx, &id).await?;
    Ok(Json(convert::run(run)))
}

/// Interrupts a run as Ctrl-C does and waits for its end. Variables are kept, unless the code does
/// not heed the interrupt within 3 seconds.
#[utoipa::path(post, path = "/v1/code/runs/{run_id}/interrupt", tag = "code",
    params(("run_id" = String, Path)),
    responses((status = 200, body = wire::CodeRun)))]
async fn interrupt_code_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::CodeRun> {
    let id = ids::command(&id)?;
    let run = api.engine.interrupt_code(&ctx, &id).await?;
    Ok(Json(convert::run(run)))
}

/// A run's events as they happen: `begun`, `stdout`, `stderr`, `truncated`, `output`, `raised`,
/// `complete`; the id is the event's number, and the stream closes behind `complete`. A failure on
/// our side is an event `error` with the error's body. Comments every 15 seconds keep the connection.
#[utoipa::path(get, path = "/v1/code/runs/{run_id}/stream", tag = "code",
    params(
        ("run_id" = String, Path), wire::CodeEventsQuery,
        ("last-event-id" = Option<u64>, Header, description = "wins over `after_seq`")),
    responses((status = 200, content_type = "text/event-stream", body = wire::CodeEvent)))]
async fn stream_code_run(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::CodeEventsQuery>,
    headers: HeaderMap,
    tag: RequestTag,
    draining: Draining,
) -> std::result::Result<Response, Failure> {
    let id = ids::command(&id)?;
    let after = begins_after(&headers, query.after_seq)?;
    let reader = api.engine.code_events(&ctx, &id, after).await?;
    let source = Source {
        api,
        ctx,
        id,
        reader,
        shown: tag.shown,
    };
    Ok(sse::respond(events(source), draining))
}

struct Source {
    api: Api,
    ctx: Ctx,
    id: CommandId,
    reader: CodeReader,
    /// The request's id, for an error.
    shown: String,
}

/// Events up to the last one, or an error.
fn events(source: Source) -> impl Stream<Item = Event> + Send {
    futures::stream::unfold(Some(source), |source| async move {
        let mut source = source?;
        match source.next().await {
            Ok(None) => None,
            Ok(Some(event)) => {
                let seq = Some(event.seq().to_string());
                let made = Event::json(event.event(), seq, &event);
                Some((made.expect("events are plain data"), Some(source)))
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "a stream of code events broke off");
                let made = Event::json("error", None, &render::body(&error, &source.shown));
                Some((made.expect("errors are plain data"), None))
            }
        }
    })
}

impl Source {
    async fn next(&mut self) -> Result<Option<wire::CodeEvent>> {
        let Some((seq, event)) = self.reader.next().await? else {
            return Ok(None);
        };
        let whole = match event {
            CodeEvent::Complete(_) => {
                let engine = &self.api.engine;
                engine.wait_command(&self.ctx, &self.id, None).await?;
                Some(engine.get_code_run(&self.ctx, &self.id).await?)
            }
            _ => None,
        };
        let whole = || whole.expect("looked up for every end");
        Ok(Some(convert::event(seq, event, whole)))
    }
}
