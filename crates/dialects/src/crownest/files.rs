//! Handlers of files, all within the workspace.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use pinfold_engine::{Engine, FileAt};
use pinfold_http::{Caller, Json, Path, Query};

use super::errors::Refused;
use super::from_wire::{self, FILE_MAX_BYTES, WORKSPACE};
use super::{ids, to_wire, wire};
use crate::content;

/// Entries of one listing, which has no pages.
const ENTRIES_MAX: u32 = 100_000;

type Answer = Result<Json<wire::OneFile>, Refused>;

pub(super) async fn read(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::FilePath>,
) -> Result<Json<wire::FileContent>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let encoding = from_wire::encoding(query.encoding.as_deref())?;
    let at = FileAt::within(&query.path, WORKSPACE);
    let read = engine.read_whole_file(&ctx, &sandbox, at, FILE_MAX_BYTES);
    let (entry, bytes) = read.await?;
    Ok(Json(to_wire::content(&entry, bytes, encoding)?))
}

pub(super) async fn write(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::WriteFile>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let (write, content) = from_wire::write_file(request)?;
    let entry = engine.put_file(&ctx, &sandbox, write, &content).await?;
    let file = to_wire::file(&entry);
    Ok(Json(wire::OneFile { file }))
}

pub(super) async fn remove(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::FilePath>,
) -> Result<Json<wire::Deleted>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::within(&query.path, WORKSPACE);
    engine.remove_file(&ctx, &sandbox, at, false).await?;
    Ok(Json(wire::Deleted { deleted: true }))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListFiles>,
) -> Result<Json<wire::Files>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let path = query.path.as_deref().unwrap_or(WORKSPACE);
    let at = FileAt::within(path, WORKSPACE);
    let listing = engine
        .list_directory(&ctx, &sandbox, at, ENTRIES_MAX)
        .await?;
    Ok(Json(to_wire::directory(&listing)?))
}

pub(super) async fn stat(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::FilePath>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::within(&query.path, WORKSPACE);
    let entry = engine.stat_target(&ctx, &sandbox, at).await?;
    let file = to_wire::file(&entry);
    Ok(Json(wire::OneFile { file }))
}

pub(super) async fn make_directory(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::MakeDirectory>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::make_directory(request);
    let entry = engine.make_directory(&ctx, &sandbox, request).await?;
    let file = to_wire::file(&entry);
    Ok(Json(wire::OneFile { file }))
}

pub(super) async fn rename(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::MoveFile>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let request = from_wire::move_file(request);
    let entry = engine.move_file(&ctx, &sandbox, request).await?;
    let file = to_wire::file(&entry);
    Ok(Json(wire::OneFile { file }))
}

/// A file of any size as its bytes.
pub(super) async fn download(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::FilePath>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::within(&query.path, WORKSPACE);
    Ok(content::file(&engine, &ctx, &sandbox, at, &headers).await?)
}
