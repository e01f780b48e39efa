//! Handlers of secrets: by name, and (newer SDKs) by id. None answers with a value.

use axum::extract::State;
use axum::http::HeaderMap;
use pinfold_engine::{Engine, PageRequest};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::{Code, Ctx, Error, Secret, SecretValue, limits};

use super::errors::Refused;
use super::poll::Pages;
use super::version::Sdk;
use super::{to_wire, wire};

type Answer = Result<Json<wire::Secret>, Refused>;

/// A name that is taken is a conflict for SDKs that know names to be unique; newer ones make another
/// secret of that name, which is the one that counts: here it takes the place of the first.
pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    headers: HeaderMap,
    Json(request): Json<wire::CreateSecret>,
) -> Answer {
    let value = SecretValue::new(request.value)?;
    if Sdk::of(&headers).before(3, 0) {
        match engine.get_secret(&ctx, &request.name).await {
            Ok(_) => {
                let text = format!("there is a secret {:?} already", request.name);
                return Err(Error::new(Code::AlreadyExists, text).into());
            }
            Err(error) if error.code() == Code::SecretNotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    answer(engine.put_secret(&ctx, &request.name, value).await?)
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListSecrets>,
) -> Result<Json<wire::Secrets>, Refused> {
    let mut pages = Pages::new(query.limit, None)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_secrets(&ctx, &page).await?, |_| true)?;
    }
    let (found, has_more) = pages.finish();
    let secrets = found.into_iter().map(to_wire::secret).collect();
    Ok(Json(wire::Secrets { secrets, has_more }))
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Answer {
    answer(engine.get_secret(&ctx, &name).await?)
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Json(request): Json<wire::SecretValue>,
) -> Answer {
    let found = engine.get_secret(&ctx, &name).await?;
    replace(&engine, &ctx, found, request).await
}

pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let found = engine.get_secret(&ctx, &name).await?;
    remove(&engine, &ctx, found).await
}

pub(super) async fn show_by_id(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(by_id(&engine, &ctx, &id).await?)
}

pub(super) async fn update_by_id(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::SecretValue>,
) -> Answer {
    let found = by_id(&engine, &ctx, &id).await?;
    replace(&engine, &ctx, found, request).await
}

pub(super) async fn delete_by_id(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let found = by_id(&engine, &ctx, &id).await?;
    remove(&engine, &ctx, found).await
}

async fn replace(engine: &Engine, ctx: &Ctx, found: Secret, request: wire::SecretValue) -> Answer {
    let value = SecretValue::new(request.value)?;
    answer(engine.put_secret(ctx, &found.name, value).await?)
}

async fn remove(engine: &Engine, ctx: &Ctx, found: Secret) -> Answer {
    engine.delete_secret(ctx, &found.name).await?;
    answer(found)
}

/// A project has so few that all of them are looked at.
async fn by_id(engine: &Engine, ctx: &Ctx, id: &str) -> Result<Secret, Refused> {
    let mut after = None;
    loop {
        let page = PageRequest::new(limits::PAGE_MAX, after);
        let found = engine.list_secrets(ctx, &page).await?;
        if let Some(secret) = found.items.into_iter().find(|one| one.id.as_str() == id) {
            return Ok(secret);
        }
        after = found.next;
        if after.is_none() {
            return Err(Refused::no("secret", id));
        }
    }
}

fn answer(secret: Secret) -> Answer {
    Ok(Json(to_wire::secret(secret)))
}
