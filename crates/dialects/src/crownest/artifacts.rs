//! Handlers of artifacts: files of a workspace, copied into objects.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Engine, FileAt};
use pinfold_http::{Caller, IdempotencyKey, Json, Path, Query};
use pinfold_model::{Code, Ctx, Object};

use super::errors::Refused;
use super::from_wire::{self, WORKSPACE};
use super::{ids, to_wire, wire};
use crate::content;

type Answer = Result<Json<wire::OneArtifact>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateArtifact>,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::within(&request.path, WORKSPACE);
    let object = from_wire::create_artifact(request.name);
    let made = engine.create_object_from_file(&ctx, &sandbox, at, object, key.as_deref());
    let artifact = to_wire::artifact(&ctx, made.await?.value)?;
    Ok((StatusCode::CREATED, Json(wire::OneArtifact { artifact })).into_response())
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListPage>,
) -> Result<Json<wire::Page<wire::Artifact>>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let page = from_wire::page(query.limit, query.cursor.as_deref())?;
    let found = engine.list_objects_of(&ctx, &sandbox, &page).await?;
    Ok(Json(to_wire::artifacts(&ctx, found)?))
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let artifact = to_wire::artifact(&ctx, found(&engine, &ctx, &id).await?)?;
    Ok(Json(wire::OneArtifact { artifact }))
}

pub(super) async fn remove(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let object = found(&engine, &ctx, &id).await?;
    let artifact = to_wire::artifact(&ctx, engine.delete_object(&ctx, &object.id).await?)?;
    Ok(Json(wire::OneArtifact { artifact }))
}

pub(super) async fn download(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let object = found(&engine, &ctx, &id).await?;
    Ok(content::object(&engine, &ctx, &object, &headers).await?)
}

/// The object that an artifact is. One that came in another way than out of a sandbox is not of
/// this API, whoever asks: nothing is shown, handed out or deleted of it. Where an object came from
/// never changes, so what is looked at here holds for the call behind it.
pub(super) async fn found(engine: &Engine, ctx: &Ctx, id: &str) -> Result<Object, Refused> {
    match engine.get_object(ctx, &ids::artifact(id)?).await {
        Ok(object) if object.source.is_some() => Ok(object),
        Ok(_) => Err(Refused::no("artifact", id)),
        Err(error) if error.code() == Code::ObjectNotFound => Err(Refused::no("artifact", id)),
        Err(error) => Err(error.into()),
    }
}
