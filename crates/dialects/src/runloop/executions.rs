//! Handlers of executions, save their streams.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use pinfold_engine::{Engine, RunOptions};
use pinfold_http::{Caller, Draining, Json, Path, Query, read_large_json};
use pinfold_model::command::CancelMode;
use pinfold_model::{Command, CommandId, Ctx};

use super::errors::{Refused, Retry};
use super::poll::{self, RequestKey};
use super::version::Sdk;
use super::{from_wire, ids, to_wire, wire};

/// How long a wait lasts at most, and where its request names no time.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// What an answer holds of the end of each stream; the streams themselves have all.
const TAIL_BYTES: usize = 1 << 20;
const LINES_DEFAULT: usize = 100;
/// How long the answer to a kill waits for the end.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// All of an execution whose answer is all there is of it.
const WHOLE: RunOptions = RunOptions {
    inline_bytes: 16 << 20,
};
const SIGINT: i32 = 2;
/// Of the document with what goes to stdin: the 8 MiB that one write takes, as clients write what is not ASCII.
const STDIN_BODY_MAX_BYTES: usize = 25 << 20;

type Answer = Result<Json<wire::Execution>, Refused>;

pub(super) async fn execute_sync(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::Execute>,
) -> Result<Json<wire::SyncExecution>, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let spec = from_wire::command(&request)?;
    let run = engine.run_command(&ctx, &devbox, spec, key.as_deref(), WHOLE);
    Ok(Json(to_wire::sync_execution(run.await?)?))
}

pub(super) async fn execute_async(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    RequestKey(key): RequestKey,
    Query(query): Query<wire::ExecutionQuery>,
    Json(request): Json<wire::Execute>,
) -> Answer {
    let devbox = ids::devbox(&devbox)?;
    let spec = from_wire::command(&request)?;
    let started = engine.start_command(&ctx, &devbox, spec, key.as_deref());
    shown(&engine, &ctx, &started.await?.value.id, &query).await
}

/// Waits a while for the end, and answers with what there is then.
pub(super) async fn execute(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    RequestKey(key): RequestKey,
    Query(query): Query<wire::ExecutionQuery>,
    (headers, draining): (HeaderMap, Draining),
    Json(request): Json<wire::Execute>,
) -> Answer {
    let devbox = ids::devbox(&devbox)?;
    let patience = poll::patience(request.optimistic_timeout, WAIT_MAX, WAIT_MAX)?;
    let spec = from_wire::command(&request)?;
    // Older SDKs send one id with all their commands, so theirs names nothing.
    let old = Sdk::of(&headers).before(1, 11);
    let key = request.command_id.filter(|_| !old).or(key);
    let started = engine.start_command(&ctx, &devbox, spec, key.as_deref());
    let id = started.await?.value.id;
    ended(&engine, &ctx, &id, patience, draining).await?;
    shown(&engine, &ctx, &id, &query).await
}

/// Waits a while for the end; a server that stops waits no longer than that.
async fn ended(
    engine: &Engine,
    ctx: &Ctx,
    id: &CommandId,
    patience: Duration,
    draining: Draining,
) -> Result<(), Refused> {
    tokio::select! {
        ended = engine.wait_command(ctx, id, Some(patience)) => drop(ended?),
        () = draining.wait_owned() => {}
    }
    Ok(())
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    Query(query): Query<wire::ExecutionQuery>,
) -> Answer {
    let found = of(&engine, &ctx, &devbox, &id).await?;
    shown(&engine, &ctx, &found.id, &query).await
}

pub(super) async fn wait(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    Query(query): Query<wire::ExecutionQuery>,
    draining: Draining,
    Json(request): Json<wire::WaitForStatus>,
) -> Answer {
    let found = of(&engine, &ctx, &devbox, &id).await?;
    let patience = poll::patience(request.timeout_seconds, WAIT_MAX, WAIT_MAX)?;
    let wants = |status: &str| request.statuses.iter().any(|wanted| wanted == status);
    let known = ["queued", "running", "completed"];
    if let Some(other) = request
        .statuses
        .iter()
        .find(|text| !known.contains(&text.as_str()))
    {
        return Err(Refused::invalid("statuses", format!("no status {other:?}")));
    }
    let ended = found.state.is_terminal();
    if !ended && !wants("running") {
        let ending = engine.wait_command(&ctx, &found.id, Some(patience));
        tokio::select! {
            ended = ending => drop(ended?),
            () = draining.wait_owned() => {
                return Err(Refused::late(Retry::Usual, "the server is shutting down"));
            }
        }
    }
    let Json(now) = shown(&engine, &ctx, &found.id, &query).await?;
    match wants(now.status) {
        true => Ok(Json(now)),
        // Clients wait on by trying again; nothing may tell them not to.
        false => Err(Refused::late(
            Retry::Usual,
            "the execution has not reached that status yet",
        )),
    }
}

/// Ends everything that the execution started, and waits for that.
pub(super) async fn kill(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    Query(query): Query<wire::ExecutionQuery>,
    draining: Draining,
    _: Json<wire::Anything>,
) -> Answer {
    let found = of(&engine, &ctx, &devbox, &id).await?;
    engine
        .cancel_command(&ctx, &found.id, CancelMode::Force)
        .await?;
    ended(&engine, &ctx, &found.id, KILL_WAIT, draining).await?;
    shown(&engine, &ctx, &found.id, &query).await
}

pub(super) async fn send_std_in(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path((devbox, id)): Path<(String, String)>,
    request: Request,
) -> Result<Json<wire::SentStdIn>, Refused> {
    let found = of(&engine, &ctx, &devbox, &id).await?;
    let request: wire::SendStdIn = read_large_json(request, STDIN_BODY_MAX_BYTES).await?;
    match (request.text, request.signal.as_deref()) {
        (Some(text), None) => engine.write_stdin(&ctx, &found.id, text.as_bytes()).await?,
        (None, Some("EOF")) => engine.close_stdin(&ctx, &found.id).await?,
        (None, Some("INTERRUPT")) => engine.signal_command(&ctx, &found.id, SIGINT).await?,
        (None, Some(other)) => {
            return Err(Refused::invalid("signal", format!("no signal {other:?}")));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refused::bad("either text or signal has to be there"));
        }
    }
    Ok(Json(wire::SentStdIn {
        devbox_id: devbox,
        execution_id: found.id.into(),
        success: true,
    }))
}

/// The execution, if it is one of that devbox.
pub(super) async fn of(
    engine: &Engine,
    ctx: &Ctx,
    devbox: &str,
    id: &str,
) -> Result<Command, Refused> {
    let devbox = ids::devbox(devbox)?;
    let found = engine.get_command(ctx, &ids::execution(id)?).await?;
    match found.sandbox == devbox {
        true => Ok(found),
        false => Err(Refused::no("execution", id)),
    }
}

async fn shown(engine: &Engine, ctx: &Ctx, id: &CommandId, query: &wire::ExecutionQuery) -> Answer {
    let lines = match query.last_n.as_deref() {
        None | Some("") => LINES_DEFAULT,
        Some(text) => text
            .parse()
            .map_err(|error| Refused::invalid("last_n", error))?,
    };
    let tail = engine.command_tail(ctx, id, TAIL_BYTES).await?;
    Ok(Json(to_wire::execution(tail, lines)))
}
