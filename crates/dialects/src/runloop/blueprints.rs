//! Handlers of blueprints: builds whose images devboxes are made from.

use std::time::{Duration, Instant};

use axum::extract::State;
use pinfold_engine::{BuildFilter, Cursor, Engine, PageRequest};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::build::BuildState;
use pinfold_model::{Build, Code, Ctx, Error, ImageId, limits};

use super::errors::Refused;
use super::from_wire::Built;
use super::from_wire::blueprint::{self, Base};
use super::poll::{Pages, RequestKey};
use super::to_wire::{BuildLog, Fate};
use super::{from_wire, ids, to_wire, wire};

/// A build that is taken from the cache is over by then, and the SDK looks but once a second.
const CREATE_WAIT: Duration = Duration::from_millis(800);
/// A log is read as far as it is; who wants more asks again.
const LOG_PATIENCE: Duration = Duration::from_millis(200);
/// One that never pauses is not followed for longer.
const LOG_TIME_MAX: Duration = Duration::from_secs(10);

type Answer = Result<Json<wire::Blueprint>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::CreateBlueprint>,
) -> Answer {
    let base = base(&engine, &ctx, &request).await?;
    let build = blueprint::build(request, &base)?;
    let made = engine.create_build(&ctx, build, key.as_deref()).await?;
    let id = made.value.id;
    answer(
        engine.wait_build(&ctx, &id, CREATE_WAIT).await?,
        Fate::Created,
    )
}

/// What the Dockerfile of such a request says here.
pub(super) async fn preview(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Json(request): Json<wire::CreateBlueprint>,
) -> Result<Json<wire::BlueprintPreview>, Refused> {
    let base = base(&engine, &ctx, &request).await?;
    let dockerfile = blueprint::build(request, &base)?.dockerfile;
    Ok(Json(wire::BlueprintPreview { dockerfile }))
}

/// What is built upon, where the Dockerfile does not say so itself.
async fn base(
    engine: &Engine,
    ctx: &Ctx,
    request: &wire::CreateBlueprint,
) -> Result<Base, Refused> {
    let named = (&request.base_blueprint_id, &request.base_blueprint_name);
    if named.0.is_some() || named.1.is_some() {
        let base = chosen(engine, ctx, named.0.as_deref(), named.1.as_deref()).await?;
        return Ok(Base(image_of(&base)?.to_string()));
    }
    let template = engine.get_template(ctx, from_wire::TEMPLATE, None).await?;
    Ok(Base(template.spec.image.to_string()))
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let build = engine.get_build(&ctx, &ids::blueprint(&id)?).await?;
    let fate = fate(&engine, &ctx, &build).await?;
    answer(build, fate)
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListBlueprints>,
) -> Result<Json<wire::Blueprints>, Refused> {
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_build(&ctx, &ids::blueprint(id)?).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let filter = BuildFilter {
        state: None,
        name: query
            .name
            .as_deref()
            .map(blueprint::image_name)
            .transpose()?,
    };
    let status = query.status.as_deref();
    let wanted = |build: &Build| {
        blueprint::is_one(build)
            && status.is_none_or(|status| to_wire::blueprint_status(build) == status)
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_builds(&ctx, &filter, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    let mut blueprints = Vec::new();
    for build in found {
        let fate = fate(&engine, &ctx, &build).await?;
        blueprints.push(to_wire::blueprint(build, fate));
    }
    Ok(Json(wire::Blueprints {
        blueprints,
        has_more,
    }))
}

/// Every blueprint is its project's.
pub(super) async fn list_public(_: Caller) -> Json<wire::Blueprints> {
    Json(wire::Blueprints {
        blueprints: Vec::new(),
        has_more: false,
    })
}

pub(super) async fn logs(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::BlueprintLogs>, Refused> {
    let build = engine.get_build(&ctx, &ids::blueprint(&id)?).await?;
    let mut reader = engine.follow_build(&ctx, &build.id, 0).await?;
    let mut log = BuildLog::of(&build);
    let until = Instant::now() + LOG_TIME_MAX;
    while Instant::now() < until
        && let Ok(next) = tokio::time::timeout(LOG_PATIENCE, reader.next()).await
    {
        match next? {
            Some((_, event)) => log.take(event),
            None => break,
        }
    }
    Ok(Json(wire::BlueprintLogs {
        blueprint_id: id,
        logs: log.finish(),
    }))
}

/// Its image goes, with the last devbox that needs it; what is known of it stays. One that made no image is forgotten.
pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Json<wire::Empty>, Refused> {
    let id = ids::blueprint(&id)?;
    let mut build = engine.get_build(&ctx, &id).await?;
    if !build.state.is_terminal() {
        engine.cancel_build(&ctx, &id).await?;
        build = engine
            .wait_build(&ctx, &id, limits::BUILD_TIMEOUT_MAX)
            .await?;
    }
    match &build.image {
        None => engine.delete_build(&ctx, &id).await?,
        Some(image) => match engine.withdraw_image(&ctx, image).await {
            Err(error) if error.code() == Code::ImageNotFound => {}
            removed => removed?,
        },
    }
    Ok(Json(wire::Empty {}))
}

/// What a devbox is made from that names a blueprint. It reaches what the template lets it.
pub(super) async fn named_by(
    engine: &Engine,
    ctx: &Ctx,
    request: &wire::CreateDevbox,
) -> Result<Option<Built>, Refused> {
    from_wire::check_sources(request)?;
    let (id, name) = (&request.blueprint_id, &request.blueprint_name);
    if id.is_none() && name.is_none() {
        return Ok(None);
    }
    let build = chosen(engine, ctx, id.as_deref(), name.as_deref()).await?;
    let template = engine.get_template(ctx, from_wire::TEMPLATE, None).await?;
    Ok(Some(Built {
        id: ids::of_blueprint(&build.id),
        image: image_of(&build)?,
        launch_parameters: blueprint::said(&build).launch_parameters,
        network: template.spec.network,
        network_policy: template.spec.network_policy,
    }))
}

fn image_of(build: &Build) -> Result<ImageId, Refused> {
    match (&build.image, build.state) {
        (Some(image), BuildState::Complete) => Ok(image.clone()),
        _ => Err(Refused::bad("the blueprint is not built")),
    }
}

/// By id, or the newest of a name that is built and not deleted.
async fn chosen(
    engine: &Engine,
    ctx: &Ctx,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Build, Refused> {
    if let Some(id) = id {
        let build = engine.get_build(ctx, &ids::blueprint(id)?).await?;
        return match fate(engine, ctx, &build).await? {
            Fate::Created => Ok(build),
            Fate::Deleted => Err(Refused::no("blueprint", id)),
        };
    }
    let name = name.unwrap_or_default();
    let filter = BuildFilter {
        state: Some(BuildState::Complete),
        name: Some(blueprint::image_name(name)?),
    };
    let page = PageRequest::new(limits::PAGE_MAX, None);
    for build in engine.list_builds(ctx, &filter, &page).await?.items {
        if blueprint::is_one(&build) && fate(engine, ctx, &build).await? == Fate::Created {
            return Ok(build);
        }
    }
    Err(Refused::no("built blueprint", name))
}

/// A blueprint is deleted when its image is.
async fn fate(engine: &Engine, ctx: &Ctx, build: &Build) -> Result<Fate, Error> {
    let Some(image) = &build.image else {
        return Ok(Fate::Created);
    };
    match engine.get_image(ctx, image.as_str()).await {
        Ok(_) => Ok(Fate::Created),
        Err(error) if error.code() == Code::ImageNotFound => Ok(Fate::Deleted),
        Err(error) => Err(error),
    }
}

fn answer(build: Build, fate: Fate) -> Answer {
    Ok(Json(to_wire::blueprint(build, fate)))
}
