//! Handlers of devboxes.

use std::time::Duration;

use axum::extract::State;
use pinfold_engine::{Cursor, DescribeSandbox, Engine, SandboxFilter, States};
use pinfold_http::{Caller, Draining, Json, Path, Query};
use pinfold_model::{Ctx, Sandbox, SandboxId, SandboxState};

use super::errors::{Refused, Retry};
use super::poll::{self, Again, Pages, RequestKey};
use super::to_wire::Status;
use super::{blueprints, from_wire, ids, to_wire, wire};

/// How long a wait lasts whose request names no time, and at most: older SDKs read for 30 seconds.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Most devboxes run by then. The SDK says how long it will wait for one only in the waits that it goes
/// on with, so a longer one would outlast what its caller allows.
const CREATE_WAIT: Duration = Duration::from_secs(1);
/// What ends the wait for a devbox that was just made.
const MADE: [Status; 4] = [
    Status::Running,
    Status::Failure,
    Status::Shutdown,
    Status::Suspended,
];

type Answer = Result<Json<wire::Devbox>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::CreateDevbox>,
) -> Answer {
    let built = blueprints::named_by(&engine, &ctx, &request).await?;
    let request = from_wire::create(request, built)?;
    let made = engine.create_sandbox(&ctx, request, key.as_deref()).await?;
    answer(&engine, &ctx, made.value).await
}

/// As soon as it runs, or in time as far as it is by then.
pub(super) async fn create_and_await(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    draining: Draining,
    Json(request): Json<wire::CreateDevbox>,
) -> Answer {
    let built = blueprints::named_by(&engine, &ctx, &request).await?;
    let request = from_wire::create(request, built)?;
    let made = engine.create_sandbox(&ctx, request, key.as_deref()).await?;
    let id = made.value.id;
    let made = match reached(&engine, &ctx, &id, &MADE, CREATE_WAIT, draining).await? {
        Some(sandbox) => sandbox,
        None => engine.get_sandbox(&ctx, &id).await?,
    };
    answer(&engine, &ctx, made).await
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let found = engine.get_sandbox(&ctx, &ids::devbox(&id)?).await?;
    answer(&engine, &ctx, found).await
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListDevboxes>,
) -> Result<Json<wire::Devboxes>, Refused> {
    let status = query
        .status
        .as_deref()
        .map(str::parse::<Status>)
        .transpose()?;
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_sandbox(&ctx, &ids::devbox(id)?).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let filter = SandboxFilter {
        states: status.map_or(States::All, states),
        ..SandboxFilter::default()
    };
    let wanted = |one: &Sandbox| status.is_none_or(|status| to_wire::status(one) == status);
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_sandboxes(&ctx, &filter, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    let all: Vec<_> = found.iter().collect();
    let mut tunnels = engine.tunnels_of(&ctx, &all).await?;
    let devboxes = found.into_iter().map(|one| {
        let tunnel = tunnels.remove(&one.id);
        to_wire::devbox(one, tunnel)
    });
    let devboxes = devboxes.collect();
    Ok(Json(wire::Devboxes { devboxes, has_more }))
}

/// Those in which a sandbox may have that status.
fn states(status: Status) -> States {
    States::Only(match status {
        Status::Provisioning => vec![SandboxState::Creating],
        Status::Initializing | Status::Running | Status::Suspending => {
            vec![SandboxState::Running]
        }
        Status::Suspended => vec![SandboxState::Suspended, SandboxState::Stopped],
        Status::Failure => vec![SandboxState::Failed],
        Status::Shutdown => vec![SandboxState::Destroyed],
        Status::Scheduled | Status::Queued | Status::Resuming => Vec::new(),
    })
}

pub(super) async fn wait(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    draining: Draining,
    Json(request): Json<wire::WaitForStatus>,
) -> Answer {
    let id = ids::devbox(&id)?;
    let wanted: Result<Vec<Status>, _> = request.statuses.iter().map(|text| text.parse()).collect();
    let patience = poll::patience(request.timeout_seconds, WAIT, WAIT_MAX)?;
    let found = reached(&engine, &ctx, &id, &wanted?, patience, draining).await?;
    match found {
        Some(sandbox) => answer(&engine, &ctx, sandbox).await,
        // Clients poll by themselves; older ones would hide five more waits in each.
        None => Err(Refused::late(
            Retry::Never,
            "the devbox has not reached that status yet",
        )),
    }
}

/// The devbox as soon as it has one of these statuses; `None` when the time is over.
async fn reached(
    engine: &Engine,
    ctx: &Ctx,
    id: &SandboxId,
    wanted: &[Status],
    patience: Duration,
    draining: Draining,
) -> Result<Option<Sandbox>, Refused> {
    let mut watch = engine.watch_sandbox(ctx, id).await?;
    let reached = async {
        while let Some(sandbox) = watch.next().await {
            if wanted.contains(&to_wire::status(&sandbox)) {
                return sandbox;
            }
        }
        // It has ended otherwise: who asks in vain asks slowly.
        std::future::pending().await
    };
    tokio::select! {
        sandbox = reached => Ok(Some(sandbox)),
        () = tokio::time::sleep(patience) => Ok(None),
        // Clients ask again after this, and of the next server.
        () = draining.wait_owned() => Ok(None),
    }
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::UpdateDevbox>,
) -> Answer {
    let change = DescribeSandbox {
        name: request
            .name
            .map(|name| Some(name).filter(|name| !name.is_empty())),
        metadata: request.metadata,
    };
    let id = ids::devbox(&id)?;
    let described = engine.describe_sandbox(&ctx, &id, change).await?;
    answer(&engine, &ctx, described).await
}

/// Ends its processes and keeps its disk. Where this machine keeps no disks of what does not run,
/// it is frozen instead. Answered when its suspend commands have begun, where it has some.
pub(super) async fn suspend(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Again(again): Again,
    _: Json<wire::Anything>,
) -> Answer {
    let id = ids::devbox(&id)?;
    let now = engine.get_sandbox(&ctx, &id).await?;
    match to_wire::status(&now) {
        Status::Running => {}
        Status::Suspending | Status::Suspended if again => return answer(&engine, &ctx, now).await,
        _ => return Err(Refused::bad("the devbox is not running")),
    }
    let rests = engine.rest_sandbox(&ctx, &id).await?;
    answer(&engine, &ctx, rests).await
}

pub(super) async fn resume(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Again(again): Again,
    _: Json<wire::Anything>,
) -> Answer {
    let id = ids::devbox(&id)?;
    let now = engine.get_sandbox(&ctx, &id).await?;
    let resumed = match now.state {
        SandboxState::Stopped => engine.start_sandbox(&ctx, &id).await?,
        SandboxState::Suspended => engine.resume_sandbox(&ctx, &id).await?,
        SandboxState::Running if again => now,
        SandboxState::Creating
        | SandboxState::Running
        | SandboxState::Failed
        | SandboxState::Destroyed => return Err(Refused::bad("the devbox is not suspended")),
    };
    answer(&engine, &ctx, resumed).await
}

pub(super) async fn keep_alive(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Json<wire::Empty>, Refused> {
    engine.keep_sandbox_alive(&ctx, &ids::devbox(&id)?).await?;
    Ok(Json(wire::Empty {}))
}

pub(super) async fn shutdown(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let destroyed = engine.destroy_sandbox(&ctx, &ids::devbox(&id)?).await?;
    answer(&engine, &ctx, destroyed).await
}

async fn answer(engine: &Engine, ctx: &Ctx, sandbox: Sandbox) -> Answer {
    let tunnel = engine
        .tunnels_of(ctx, &[&sandbox])
        .await?
        .remove(&sandbox.id);
    Ok(Json(to_wire::devbox(sandbox, tunnel)))
}
