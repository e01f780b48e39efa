//! Runs of markdown pipelines.

use axum::extract::State;
use axum::http::StatusCode;
use pinfold_engine::{Engine, ReportBounds};
use pinfold_http::{Failure, IdempotencyKey, Json, Path};
use pinfold_model::Time;

use super::{Account, from_wire, to_wire, wire};

/// What an answer holds of what steps wrote.
const REPORT: ReportBounds = ReportBounds {
    stream_bytes: 16 << 20,
    total_bytes: 64 << 20,
};

type Accepted = (StatusCode, Json<wire::Submitted>);

pub(super) async fn submit(
    State(engine): State<Engine>,
    Account(ctx): Account,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::SubmitRun>,
) -> Result<Accepted, Failure> {
    let request = from_wire::run(&request)?;
    let run = engine.submit_run(&ctx, request, key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire::submitted(&run.value))))
}

pub(super) async fn get(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(id): Path<String>,
) -> Result<Json<wire::Run>, Failure> {
    let id = from_wire::run_id(&id)?;
    let report = engine.report_run(&ctx, id, REPORT).await?;
    Ok(Json(to_wire::run(&report, Time::now())))
}

pub(super) async fn cancel(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(id): Path<String>,
) -> Result<Accepted, Failure> {
    let run = engine.cancel_run(&ctx, from_wire::run_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire::submitted(&run))))
}
