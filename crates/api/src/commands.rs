//! Routes of commands: starting, looking, ending, feeding.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt;
use pinfold_engine::RunOptions;
use pinfold_http::{Caller, Draining, Failure, IdempotencyKey, Json, Path, Query};
use pinfold_model::{Code, Command, Error, signal};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::command as convert;
use crate::sandboxes::accepted;
use crate::state::Api;
use crate::{ids, page};

/// How long a long poll waits when the caller does not say.
const WAIT_DEFAULT_MS: u64 = 30_000;
/// Bytes handed to a command's stdin in one engine call.
const STDIN_PIECE_BYTES: usize = 1 << 20;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(start_command, list_commands))
        .routes(routes!(run_command))
        .routes(routes!(get_command))
        .routes(routes!(cancel_command))
        .routes(routes!(wait_command))
        .routes(routes!(write_stdin))
        .routes(routes!(close_stdin))
        .routes(routes!(resize_command))
        .routes(routes!(signal_command))
}

type Answer = Result<Json<wire::Command>, Failure>;

fn answer(command: Command) -> Answer {
    Ok(Json(convert::to_wire(command)))
}

/// Starts a command and answers at once.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/commands", tag = "commands",
    params(
        ("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::StartCommand,
    responses(
        (status = 201, description = "started", body = wire::Command),
        (status = 200, description = "started by an earlier request with the same key", body = wire::Command)))]
async fn start_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::StartCommand>,
) -> Result<Response, Failure> {
    let spec = convert::from_wire(request)?;
    let sandbox = ids::sandbox(&sandbox)?;
    let started = api
        .engine
        .start_command(&ctx, &sandbox, spec, key.as_deref())
        .await?;
    Ok(accepted(started, convert::to_wire))
}

/// Runs a command to its end and answers with the first MiB of each stream. If the connection
/// breaks, the command runs on; the same request with the same key then waits for it again.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/run", tag = "commands",
    params(
        ("sandbox_id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::StartCommand,
    responses((status = 200, body = wire::RunResult)))]
async fn run_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(sandbox): Path<String>,
    draining: Draining,
    Json(request): Json<wire::StartCommand>,
) -> Result<Json<wire::RunResult>, Failure> {
    let spec = convert::from_wire(request)?;
    let sandbox = ids::sandbox(&sandbox)?;
    let options = RunOptions {
        inline_bytes: wire::bound::RUN_INLINE_BYTES,
    };
    let run = api
        .engine
        .run_command(&ctx, &sandbox, spec, key.as_deref(), options);
    tokio::select! {
        output = run => Ok(Json(convert::run_to_wire(output?))),
        () = draining.wait_owned() => Err(runs_on(key.as_deref(), UNFOUND).into()),
    }
}

const UNFOUND: &str = "the server is shutting down and the command runs on: look for it in the list \
                       of commands, and send an Idempotency-Key the next time";

/// The end of an answer that was waited for, not of what it was about. `Retry-After` promises that
/// repeating does no harm, which here takes a key.
pub(crate) fn runs_on(key: Option<&str>, without_key: &'static str) -> Error {
    let Some(_) = key else {
        return Error::new(Code::Unavailable, without_key);
    };
    Error::new(
        Code::Unavailable,
        "the server is shutting down and what was started runs on: send the request again with the \
         same Idempotency-Key to wait for its end",
    )
    .retry_after(Duration::from_secs(1))
}

/// Lists a sandbox's commands, newest first.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/commands", tag = "commands",
    params(("sandbox_id" = String, Path), wire::ListCommands),
    responses((status = 200, body = wire::Page<wire::Command>)))]
async fn list_commands(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListCommands>,
) -> Result<Json<wire::Page<wire::Command>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let sandbox = ids::sandbox(&sandbox)?;
    let found = api.engine.list_commands(&ctx, &sandbox, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// One command, also after its end.
#[utoipa::path(get, path = "/v1/commands/{command_id}", tag = "commands",
    params(("command_id" = String, Path)),
    responses((status = 200, body = wire::Command)))]
async fn get_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.get_command(&ctx, &ids::command(&id)?).await?)
}

/// Asks a command to end: TERM (graceful) or KILL (force) to everything it started.
#[utoipa::path(post, path = "/v1/commands/{command_id}/cancel", tag = "commands",
    params(("command_id" = String, Path)), request_body = wire::CancelCommand,
    responses((status = 200, body = wire::Command)))]
async fn cancel_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::CancelCommand>,
) -> Answer {
    let mode = convert::cancel_mode(request.mode)?;
    answer(
        api.engine
            .cancel_command(&ctx, &ids::command(&id)?, mode)
            .await?,
    )
}

/// Waits for a command's end, up to a minute; then answers with the command as it is.
#[utoipa::path(get, path = "/v1/commands/{command_id}/wait", tag = "commands",
    params(("command_id" = String, Path), wire::WaitQuery),
    responses((status = 200, body = wire::Command)))]
async fn wait_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::WaitQuery>,
    draining: Draining,
) -> Answer {
    let wanted = query.timeout_ms.unwrap_or(WAIT_DEFAULT_MS);
    if wanted > wire::bound::WAIT_MAX_MS {
        return Err(Error::invalid("timeout_ms", "timeout_ms is at most 60000; ask again").into());
    }
    let id = ids::command(&id)?;
    let patience = Some(Duration::from_millis(wanted));
    tokio::select! {
        command = api.engine.wait_command(&ctx, &id, patience) => answer(command?),
        // A caller that still wants to wait asks again, and reaches the next server.
        () = draining.wait_owned() => answer(api.engine.get_command(&ctx, &id).await?),
    }
}

/// Writes the body to the command's stdin as it comes; answers when the pipe has taken all of it.
#[utoipa::path(post, path = "/v1/commands/{command_id}/stdin", tag = "commands",
    params(("command_id" = String, Path)),
    request_body(content_type = "application/octet-stream", description = "raw bytes, streamed"),
    responses((status = 204, description = "written")))]
async fn write_stdin(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<StatusCode, Failure> {
    let id = ids::command(&id)?;
    let mut body = body.into_data_stream();
    // An empty body still answers whether the command reads.
    let mut wrote = false;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broke_off)?;
        for part in piece.chunks(STDIN_PIECE_BYTES) {
            api.engine.write_stdin(&ctx, &id, part).await?;
            wrote = true;
        }
    }
    if !wrote {
        api.engine.write_stdin(&ctx, &id, &[]).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn broke_off(error: axum::Error) -> Failure {
    Error::invalid("body", "the body broke off")
        .because(error)
        .into()
}

/// The command reads end of file behind what was written.
#[utoipa::path(post, path = "/v1/commands/{command_id}/stdin/close", tag = "commands",
    params(("command_id" = String, Path)),
    responses((status = 204, description = "closed")))]
async fn close_stdin(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.engine.close_stdin(&ctx, &ids::command(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the size of a command's terminal.
#[utoipa::path(post, path = "/v1/commands/{command_id}/resize", tag = "commands",
    params(("command_id" = String, Path)), request_body = wire::WindowSize,
    responses((status = 204, description = "resized")))]
async fn resize_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(size): Json<wire::WindowSize>,
) -> Result<StatusCode, Failure> {
    let size = convert::window(size);
    api.engine
        .resize_command(&ctx, &ids::command(&id)?, size)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signals a command, by name or number. Not a cancel: what the signal does is up to the command.
#[utoipa::path(post, path = "/v1/commands/{command_id}/signal", tag = "commands",
    params(("command_id" = String, Path)), request_body = wire::SignalCommand,
    responses((status = 204, description = "sent")))]
async fn signal_command(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::SignalCommand>,
) -> Result<StatusCode, Failure> {
    let number = signal::parse(&request.signal)?;
    api.engine
        .signal_command(&ctx, &ids::command(&id)?, number)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
