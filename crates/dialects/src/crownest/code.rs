//! Handlers of code contexts and runs of code.

mod outputs;
mod stream;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pinfold_engine::Engine;
use pinfold_http::{Caller, IdempotencyKey, Json, Path};
use pinfold_model::{CodeContext, Ctx, Error};

use super::errors::Refused;
use super::{from_wire, ids, to_wire, wire};
use outputs::Outputs;

pub(super) use stream::stream;

type ContextAnswer = Result<Json<wire::OneContext>, Refused>;

pub(super) async fn create_context(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateContext>,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::create_context(request)?;
    let made = engine.create_code_context(&ctx, &sandbox, request, key.as_deref());
    let context = to_wire::context(made.await?.value);
    Ok((StatusCode::CREATED, Json(wire::OneContext { context })).into_response())
}

pub(super) async fn list_contexts(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
) -> Result<Json<wire::Page<wire::CodeContext>>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let found = engine.list_code_contexts(&ctx, &sandbox).await?;
    Ok(Json(wire::Page {
        // Newest first, as the vendor's lists are.
        data: found.into_iter().rev().map(to_wire::context).collect(),
        has_more: false,
        next_cursor: None,
    }))
}

pub(super) async fn show_context(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((sandbox, id)): Path<(String, String)>,
) -> ContextAnswer {
    let context = to_wire::context(found(&engine, &ctx, &sandbox, &id).await?);
    Ok(Json(wire::OneContext { context }))
}

pub(super) async fn remove_context(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((sandbox, id)): Path<(String, String)>,
) -> ContextAnswer {
    let context = found(&engine, &ctx, &sandbox, &id).await?;
    let context = to_wire::context(engine.delete_code_context(&ctx, &context.id).await?);
    Ok(Json(wire::OneContext { context }))
}

/// The context, if it is one of the sandbox in the path: no sandbox's path reaches another's.
async fn found(
    engine: &Engine,
    ctx: &Ctx,
    sandbox: &str,
    id: &str,
) -> Result<CodeContext, Refused> {
    let (sandbox, wanted) = (ids::sandbox(sandbox)?, ids::code_context(id)?);
    let contexts = engine.list_code_contexts(ctx, &sandbox).await?;
    let found = contexts.into_iter().find(|context| context.id == wanted);
    found.ok_or_else(|| Refused::no("code context", id))
}

/// Answers when the run has ended. If the caller goes away it goes on, and what it shows is kept.
pub(super) async fn run(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::RunCode>,
) -> Result<Json<wire::OneRun>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::run_code(request)?;
    let keeps = request.keeps;
    // In a task of its own: what is promoted must not end with the connection.
    let whole = tokio::spawn(async move {
        let ran = engine.run_code(&ctx, &sandbox, request, key.as_deref());
        let mut run = ran.await?.value;
        let mut outputs = Outputs::new(&run.id, keeps);
        for output in std::mem::take(&mut run.outputs) {
            outputs.take(&engine, &ctx, output).await?;
        }
        Ok::<_, Error>(to_wire::code_run(run, outputs.shown()))
    });
    let run = whole.await.map_err(Error::internal)??;
    Ok(Json(wire::OneRun { run }))
}
