//! Sandboxes: creating, looking, destroying.

use axum::extract::State;
use axum::http::StatusCode;
use pinfold_engine::{Engine, PageRequest, SandboxFilter, States};
use pinfold_http::{Failure, IdempotencyKey, Json, Path};
use pinfold_model::{Code, Ctx, Error, Result as Outcome, Sandbox, SandboxState, Time, limits};

use super::{Account, from_wire, to_wire, wire};

/// Pages of one list at most: far more sandboxes than a machine holds.
const PAGES_MAX: usize = 20;

pub(super) async fn create(
    State(engine): State<Engine>,
    Account(ctx): Account,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateSandbox>,
) -> Result<(StatusCode, Json<wire::Sandbox>), Failure> {
    let request = from_wire::create(request)?;
    let made = engine.create_sandbox(&ctx, request, key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire::created(&made.value))))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Account(ctx): Account,
) -> Result<Json<wire::Sandboxes>, Failure> {
    let states = [
        SandboxState::Creating,
        SandboxState::Running,
        SandboxState::Failed,
    ];
    let filter = SandboxFilter {
        states: States::Only(states.to_vec()),
        ..SandboxFilter::default()
    };
    let now = Time::now();
    let mut sandboxes = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let request = PageRequest::new(limits::PAGE_MAX, after);
        let page = engine.list_sandboxes(&ctx, &filter, &request).await?;
        let shown = page.items.iter();
        let shown = shown.filter(|sandbox| !to_wire::is_forgotten(sandbox.ended_at, now));
        sandboxes.extend(shown.map(to_wire::sandbox));
        after = page.next;
        if after.is_none() {
            return Ok(Json(wire::Sandboxes { sandboxes }));
        }
    }
    // A part of the list would pass for the whole: the contract has no pages.
    Err(too_many().into())
}

pub(super) async fn get(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(id): Path<String>,
) -> Result<Json<wire::Sandbox>, Failure> {
    let sandbox = known(&engine, &ctx, &id).await?;
    Ok(Json(to_wire::sandbox(&sandbox)))
}

pub(super) async fn destroy(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let sandbox = known(&engine, &ctx, &id).await?;
    engine.destroy_sandbox(&ctx, &sandbox.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn too_many() -> Error {
    Error::new(
        Code::BodyTooLarge,
        format!(
            "there are more than {} sandboxes, which one answer does not hold; read them page by \
             page from /v1/sandboxes",
            PAGES_MAX * limits::PAGE_MAX as usize
        ),
    )
}

/// One that ended a while ago is as absent as one that never was.
async fn known(engine: &Engine, ctx: &Ctx, id: &str) -> Outcome<Sandbox> {
    let sandbox = engine.get_sandbox(ctx, &from_wire::sandbox_id(id)?).await?;
    let ended = sandbox.state == SandboxState::Destroyed;
    if ended && to_wire::is_forgotten(sandbox.ended_at, Time::now()) {
        return Err(Error::new(
            Code::SandboxNotFound,
            format!("no sandbox {id:?}"),
        ));
    }
    Ok(sandbox)
}
