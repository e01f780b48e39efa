//! Routes of the files in a sandbox. Paths are resolved inside it; nothing here opens one.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use pinfold_engine::{
    FileAt, FileEntry, FileReader, FileWriter, MakeDirectory, MoveFile, ReadRange, WriteFile,
};
use pinfold_http::sse::{self, Event};
use pinfold_http::{Caller, Download, Draining, Failure, Json, Path, Query, RequestTag};
use pinfold_model::{Ctx, Error, SandboxId};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::broke_off;
use crate::convert::file as convert;
use crate::convert::quantity::parse_mode;
use crate::state::Api;
use crate::{ids, render};

/// Entries of a listing when the caller does not say.
const LISTING_DEFAULT: u32 = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read_file, write_file, remove_file))
        .routes(routes!(stat_file))
        .routes(routes!(list_directory))
        .routes(routes!(make_directory))
        .routes(routes!(move_file))
        .routes(routes!(set_file_mode))
        .routes(routes!(read_archive, write_archive))
        .routes(routes!(watch_files))
}

type Answer = Result<Json<wire::FileEntry>, Failure>;

/// Reads a file: all of it, or one range.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/files", tag = "files",
    params(("sandbox_id" = String, Path), wire::PathQuery,
        ("range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, one range")),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "the range", content_type = "application/octet-stream", body = Vec<u8>)))]
async fn read_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::PathQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::from(&query.path);
    downloaded(&api, &ctx, &sandbox, at, &headers).await
}

/// A file's bytes, or the part of them that the headers ask for, as the answer.
pub(crate) async fn downloaded(
    api: &Api,
    ctx: &Ctx,
    sandbox: &SandboxId,
    at: FileAt<'_>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let read = |range| api.engine.read_file(ctx, sandbox, at, range);
    let download = |total_bytes| Download {
        name: at.path(),
        content_type: "application/octet-stream",
        total_bytes,
        etag: None,
    };
    if headers.contains_key(RANGE) {
        // Reading nothing tells the size, which decides what the range means.
        let sized = read(part(0, 0)).await?;
        let download = download(Some(sized.total_bytes().unwrap_or(0)));
        if let Some(range) = download.range(headers)? {
            let reader = read(part(range.offset, range.length)).await?;
            return Ok(download.answer(Some(range), body_of(reader)));
        }
    }
    let reader = read(ReadRange::default()).await?;
    // Files of proc and devices say 0 and hold something.
    let total = reader.total_bytes().filter(|total| *total > 0);
    Ok(download(total).answer(None, body_of(reader)))
}

fn part(offset: u64, length: u64) -> ReadRange {
    ReadRange {
        offset,
        length: Some(length),
    }
}

/// Pieces as the connection takes them.
fn body_of(reader: FileReader) -> Body {
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    Body::from_stream(pieces)
}

/// Writes a file from the body as it comes. Readers see the old file or the new, never a part; a
/// body that breaks off leaves the old one.
#[utoipa::path(put, path = "/v1/sandboxes/{sandbox_id}/files", tag = "files",
    params(("sandbox_id" = String, Path), wire::WriteQuery),
    request_body(content_type = "application/octet-stream", description = "raw bytes, streamed"),
    responses((status = 200, body = wire::FileEntry)))]
async fn write_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::WriteQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let request = WriteFile {
        path: query.path,
        mode: query.mode.as_deref().map(parse_mode).transpose()?,
        parents: query.parents.unwrap_or(false),
        exclusive: false,
        expect_bytes: announced(&headers),
        within: None,
    };
    let writer = api
        .engine
        .write_file(&ctx, &ids::sandbox(&sandbox)?, request)
        .await?;
    let entry = poured(body, writer).await?;
    Ok(Json(convert::to_wire(entry)))
}

/// The length a client announced; a body that falls short of it must not count as the file.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body into the sandbox, piece by piece. A body that breaks off drops the writer, which
/// leaves a file's target untouched.
async fn poured(body: Body, mut writer: FileWriter) -> Result<FileEntry, Failure> {
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broke_off)?;
        if let Err(error) = writer.write(&piece).await {
            // The end of the transfer knows why (a full disk, a bad tar); the write does not.
            let why = writer.finish().await.err();
            return Err(why.unwrap_or(error).into());
        }
    }
    Ok(writer.finish().await?)
}

/// Removes a file, or a directory: an empty one unless `recursive`.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox_id}/files", tag = "files",
    params(("sandbox_id" = String, Path), wire::DeleteQuery),
    responses((status = 204, description = "removed")))]
async fn remove_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::DeleteQuery>,
) -> Result<StatusCode, Failure> {
    let recursive = query.recursive.unwrap_or(false);
    let sandbox = ids::sandbox(&sandbox)?;
    api.engine
        .remove_file(&ctx, &sandbox, &query.path, recursive)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Facts about a file, not following a final symlink.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/files/stat", tag = "files",
    params(("sandbox_id" = String, Path), wire::PathQuery),
    responses((status = 200, body = wire::FileEntry)))]
async fn stat_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::PathQuery>,
) -> Answer {
    let sandbox = ids::sandbox(&sandbox)?;
    let entry = api.engine.stat_file(&ctx, &sandbox, &query.path).await?;
    Ok(Json(convert::to_wire(entry)))
}

/// The entries of a directory in order of name.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/files/list", tag = "files",
    params(("sandbox_id" = String, Path), wire::ListQuery),
    responses((status = 200, body = wire::DirectoryList)))]
async fn list_directory(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ListQuery>,
) -> Result<Json<wire::DirectoryList>, Failure> {
    let limit = query.limit.unwrap_or(LISTING_DEFAULT);
    let sandbox = ids::sandbox(&sandbox)?;
    let listing = api
        .engine
        .list_directory(&ctx, &sandbox, &query.path, limit)
        .await?;
    Ok(Json(convert::listing(listing)))
}

/// Makes a directory.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/files/mkdir", tag = "files",
    params(("sandbox_id" = String, Path)), request_body = wire::MakeDirectory,
    responses((status = 200, body = wire::FileEntry)))]
async fn make_directory(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::MakeDirectory>,
) -> Answer {
    let request = MakeDirectory {
        path: request.path,
        parents: request.parents.unwrap_or(false),
        mode: request.mode.as_deref().map(parse_mode).transpose()?,
        within: None,
    };
    let sandbox = ids::sandbox(&sandbox)?;
    let entry = api.engine.make_directory(&ctx, &sandbox, request).await?;
    Ok(Json(convert::to_wire(entry)))
}

/// Moves or renames a file or directory; answers with what it is now.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/files/move", tag = "files",
    params(("sandbox_id" = String, Path)), request_body = wire::MoveFile,
    responses((status = 200, body = wire::FileEntry)))]
async fn move_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::MoveFile>,
) -> Answer {
    let request = MoveFile {
        from: request.from,
        to: request.to,
        overwrite: request.overwrite.unwrap_or(false),
        within: None,
    };
    let sandbox = ids::sandbox(&sandbox)?;
    let entry = api.engine.move_file(&ctx, &sandbox, request).await?;
    Ok(Json(convert::to_wire(entry)))
}

/// Sets permission bits.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/files/chmod", tag = "files",
    params(("sandbox_id" = String, Path)), request_body = wire::Chmod,
    responses((status = 200, body = wire::FileEntry)))]
async fn set_file_mode(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::Chmod>,
) -> Answer {
    let mode = parse_mode(&request.mode)?;
    let sandbox = ids::sandbox(&sandbox)?;
    let entry = api
        .engine
        .set_file_mode(&ctx, &sandbox, &request.path, mode)
        .await?;
    Ok(Json(convert::to_wire(entry)))
}

/// A directory, or one file, as a tar.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/files/archive", tag = "files",
    params(("sandbox_id" = String, Path), wire::ArchiveQuery),
    responses((status = 200, content_type = "application/x-tar", body = Vec<u8>)))]
async fn read_archive(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ArchiveQuery>,
) -> Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let reader = api.engine.archive(&ctx, &sandbox, &query.path).await?;
    Ok(([(CONTENT_TYPE, "application/x-tar")], body_of(reader)).into_response())
}

/// Unpacks the body, a tar, into a directory, which is made where it is missing.
#[utoipa::path(put, path = "/v1/sandboxes/{sandbox_id}/files/archive", tag = "files",
    params(("sandbox_id" = String, Path), wire::ArchiveQuery),
    request_body(content_type = "application/x-tar", description = "a tar, streamed"),
    responses((status = 204, description = "unpacked")))]
async fn write_archive(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::ArchiveQuery>,
    body: Body,
) -> Result<StatusCode, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let writer = api.engine.extract(&ctx, &sandbox, &query.path).await?;
    poured(body, writer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes below a path from now on, as server-sent events `change`; `error` where the watch fails.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox_id}/files/watch", tag = "files",
    params(("sandbox_id" = String, Path), wire::WatchQuery),
    responses((status = 200, content_type = "text/event-stream", body = wire::WatchEvent)))]
async fn watch_files(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(sandbox): Path<String>,
    Query(query): Query<wire::WatchQuery>,
    tag: RequestTag,
    draining: Draining,
) -> Result<Response, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let recursive = query.recursive.unwrap_or(false);
    let watch = api
        .engine
        .watch_files(&ctx, &sandbox, &query.path, recursive)
        .await?;
    let changes = futures::stream::unfold(Some(watch), move |watch| {
        let shown = tag.shown.clone();
        async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(Some(change)) => {
                    let event = Event::json("change", None, &convert::change(change));
                    Some((event, Some(watch)))
                }
                Ok(None) => None,
                Err(error) => Some((
                    Event::json("error", None, &render::body(&error, &shown)),
                    None,
                )),
            }
        }
    });
    let events = changes.map(|event| event.expect("changes and errors are plain data"));
    Ok(sse::respond(events, draining))
}
