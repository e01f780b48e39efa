//! Handlers of commands, save their stream.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Engine, RunOptions};
use pinfold_http::{Caller, IdempotencyKey, Json, Path, Query};

use super::errors::Refused;
use super::{from_wire, ids, to_wire, wire};

/// What a command's record holds of each stream at most; the logs have the rest.
pub(super) const RECORD: RunOptions = RunOptions {
    inline_bytes: 8 << 20,
};

type Answer = Result<Json<wire::OneCommand>, Refused>;

pub(super) async fn run(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::RunCommand>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let spec = from_wire::run_command(request)?;
    let run = engine.run_command(&ctx, &sandbox, spec, key.as_deref(), RECORD);
    let command = to_wire::command_with_output(run.await?);
    Ok(Json(wire::OneCommand { command }))
}

pub(super) async fn start(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::RunCommand>,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let spec = from_wire::start_command(request)?;
    let started = engine
        .start_command(&ctx, &sandbox, spec, key.as_deref())
        .await?;
    let command = to_wire::accepted(started.value);
    Ok((StatusCode::ACCEPTED, Json(wire::OneCommand { command })).into_response())
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let found = engine
        .command_output(&ctx, &ids::command(&id)?, RECORD)
        .await?;
    let command = to_wire::command_with_output(found);
    Ok(Json(wire::OneCommand { command }))
}

pub(super) async fn cancel(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::CancelCommand>,
) -> Answer {
    let (id, mode) = (ids::command(&id)?, from_wire::cancel_mode(&request)?);
    let command = to_wire::command(engine.cancel_command(&ctx, &id, mode).await?);
    Ok(Json(wire::OneCommand { command }))
}

pub(super) async fn logs(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Query(query): Query<wire::Logs>,
) -> Result<Json<wire::LogPage>, Refused> {
    let (id, limit) = (ids::command(&id)?, from_wire::bounded(query.limit)?);
    let after = query.after_seq.unwrap_or(0);
    let page = engine.read_text(&ctx, &id, after, limit as usize).await?;
    Ok(Json(to_wire::logs(&id, page)))
}
