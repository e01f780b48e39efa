//! Routes of builds.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::Stream;
use pinfold_engine::{BuildFilter, BuildReader, PageRequest};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Draining, Failure, IdempotencyKey, Json, Path, Query, RequestTag};
use pinfold_model::{Error, limits};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::build as convert;
use crate::output::begins_after;
use crate::sandboxes::accepted;
use crate::state::Api;
use crate::{ids, page, render};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_build, list_builds))
        .routes(routes!(get_build, delete_build))
        .routes(routes!(cancel_build))
        .routes(routes!(stream_build))
}

type Answer<T> = Result<Json<T>, Failure>;

/// Builds an image from a Dockerfile, in sandboxes of its own, for the caller's project. Answers at
/// once; the stream tells the rest. What earlier builds of the project did with the same input is
/// taken over. The image is there when the build is complete and not before.
#[utoipa::path(post, path = "/v1/builds", tag = "builds",
    params(("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::CreateBuild,
    responses(
        (status = 201, description = "accepted", body = wire::Build),
        (status = 200, description = "accepted by an earlier request with the same key", body = wire::Build)))]
async fn create_build(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateBuild>,
) -> Result<Response, Failure> {
    let request = convert::from_wire(request)?;
    let build = api
        .engine
        .create_build(&ctx, request, key.as_deref())
        .await?;
    Ok(accepted(build, convert::build))
}

/// Lists builds, newest first, without their steps.
#[utoipa::path(get, path = "/v1/builds", tag = "builds", params(wire::ListBuilds),
    responses((status = 200, body = wire::Page<wire::Build>)))]
async fn list_builds(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListBuilds>,
) -> Answer<wire::Page<wire::Build>> {
    let request = build_page(query.limit, query.cursor.as_deref())?;
    let filter = BuildFilter {
        state: query.state.map(convert::from_state).transpose()?,
        name: query.name,
    };
    let found = api.engine.list_builds(&ctx, &filter, &request).await?;
    Ok(Json(page::to_wire(found, convert::summary)))
}

fn build_page(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Failure> {
    let limit = limit.unwrap_or(limits::RUN_PAGE_MAX);
    if limit > limits::RUN_PAGE_MAX {
        let most = limits::RUN_PAGE_MAX;
        let text = format!("limit must be from 1 to {most}: builds are larger than other items");
        return Err(Error::invalid("limit", text).into());
    }
    page::request(Some(limit), cursor)
}

/// One build with its steps.
#[utoipa::path(get, path = "/v1/builds/{build_id}", tag = "builds",
    params(("build_id" = String, Path)),
    responses((status = 200, body = wire::Build)))]
async fn get_build(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::Build> {
    let build = api.engine.get_build(&ctx, &ids::build(&id)?).await?;
    Ok(Json(convert::build(build)))
}

/// Forgets a build that has ended. Its image stays, and so does what later builds may take over.
#[utoipa::path(delete, path = "/v1/builds/{build_id}", tag = "builds",
    params(("build_id" = String, Path)),
    responses((status = 204, description = "forgotten")))]
async fn delete_build(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.engine.delete_build(&ctx, &ids::build(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a build to end. Answers at once; of a build that has ended it answers with how it ended, and
/// repeating it is harmless.
#[utoipa::path(post, path = "/v1/builds/{build_id}/cancel", tag = "builds",
    params(("build_id" = String, Path)),
    responses((status = 200, body = wire::Build)))]
async fn cancel_build(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer<wire::Build> {
    let build = api.engine.cancel_build(&ctx, &ids::build(&id)?).await?;
    Ok(Json(convert::build(build)))
}

/// A build's events as they happen, its log among them: `step_started`, `output`, `truncated`,
/// `step_ended`, `ended`; the id is the event's number, and the stream closes behind `ended`. A
/// failure on our side is an event `error` with the error's body. Comments every 15 seconds keep the
/// connection.
#[utoipa::path(get, path = "/v1/builds/{build_id}/stream", tag = "builds",
    params(
        ("build_id" = String, Path), wire::BuildEventsQuery,
        ("last-event-id" = Option<u64>, Header, description = "wins over `after_seq`")),
    responses((status = 200, content_type = "text/event-stream", body = wire::BuildEvent)))]
async fn stream_build(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::BuildEventsQuery>,
    headers: HeaderMap,
    tag: RequestTag,
    draining: Draining,
) -> Result<Response, Failure> {
    let id = ids::build(&id)?;
    let after = begins_after(&headers, query.after_seq)?;
    let reader = api.engine.follow_build(&ctx, &id, after).await?;
    Ok(sse::respond(events(reader, tag.shown), draining))
}

/// Events up to the last one, or an error, which names the request as `shown`.
fn events(reader: BuildReader, shown: String) -> impl Stream<Item = Event> + Send {
    futures::stream::unfold(Some((reader, shown)), |source| async move {
        let (mut reader, shown) = source?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some((seq, event))) => {
                let event = convert::event(seq, event);
                let made = Event::json(event.event(), Some(seq.to_string()), &event);
                let made = made.expect("events are plain data");
                Some((made, Some((reader, shown))))
            }
            Err(error) => {
                tracing::warn!(code = %error.code(), "a stream of a build broke off");
                let made = Event::json("error", None, &render::body(&error, &shown));
                Some((made.expect("errors are plain data"), None))
            }
        }
    })
}
