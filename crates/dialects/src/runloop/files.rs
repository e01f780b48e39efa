//! Handlers of files. Relative paths and those from `~/` begin at the home directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use pinfold_engine::{Engine, FileWriter, WriteFile};
use pinfold_http::{Caller, Json, Path, read_large_json};
use pinfold_model::{Code, Ctx, Error, SandboxId};

use super::errors::{Refused, Retry};
use super::from_wire::from_home;
use super::{ids, wire};
use crate::content;

/// Of a file that is sent or answered as a text; others are uploaded and downloaded.
const TEXT_MAX_BYTES: usize = 100 << 20;
/// Of the document that such a text is in: clients write what is not ASCII as up to three times as much.
const TEXT_BODY_MAX_BYTES: usize = 3 * TEXT_MAX_BYTES + (1 << 20);
/// Of an upload, before its file begins.
const BEFORE_FILE_MAX_BYTES: usize = 1 << 20;

pub(super) async fn read(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    Json(request): Json<wire::FilePath>,
) -> Result<Response, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let path = request.file_path.ok_or_else(|| missing("file_path"))?;
    let read = engine.read_whole_file(&ctx, &devbox, from_home(&path), TEXT_MAX_BYTES);
    let (_, bytes) = read.await.map_err(|error| match error.code() {
        Code::FileTooLarge => too_large("download_file"),
        _ => error.into(),
    })?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, Body::from(bytes)).into_response())
}

pub(super) async fn write(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    request: Request,
) -> Result<Json<wire::SyncExecution>, Refused> {
    let id = ids::devbox(&devbox)?;
    let request = read_large_json(request, TEXT_BODY_MAX_BYTES).await;
    let request: wire::WriteFile = request.map_err(|failure| match failure.error().code() {
        Code::BodyTooLarge => too_large("upload_file"),
        _ => failure.into(),
    })?;
    if request.contents.len() > TEXT_MAX_BYTES {
        return Err(too_large("upload_file"));
    }
    let target = target(&request.file_path);
    engine
        .put_file(&ctx, &id, target, request.contents.as_bytes())
        .await?;
    Ok(Json(wire::SyncExecution {
        devbox_id: devbox,
        exit_status: 0,
        stdout: String::new(),
        stderr: String::new(),
    }))
}

/// The field `path` comes before the file.
pub(super) async fn upload(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    request: Request,
) -> Result<Json<wire::Empty>, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let in_file = Arc::new(AtomicBool::new(false));
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(guarded(body, Arc::clone(&in_file)));
    let form = Multipart::from_request(Request::from_parts(parts, body), &()).await;
    let mut form = form.map_err(|error| Refused::invalid("body", error))?;
    let mut path = None;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("path") => path = Some(field.text().await.map_err(broken)?),
            Some("file") => {
                in_file.store(true, Ordering::Relaxed);
                let path = path.ok_or_else(|| missing("path"))?;
                put(&engine, &ctx, &devbox, &path, field).await?;
                return Ok(Json(wire::Empty {}));
            }
            _ => {}
        }
    }
    Err(missing("file"))
}

/// The form's reader keeps what comes before the file in memory, so that is bounded. It reads until
/// there is nothing for the moment: after each piece there is.
fn guarded(
    body: Body,
    in_file: Arc<AtomicBool>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let mut before = 0;
    let pieces = body.into_data_stream().map(move |piece| {
        let piece = piece.map_err(std::io::Error::other)?;
        if !in_file.load(Ordering::Relaxed) {
            before += piece.len();
            if before > BEFORE_FILE_MAX_BYTES {
                return Err(std::io::Error::other("too much before the file"));
            }
        }
        Ok(piece)
    });
    // The end comes by itself, too: the reader does not look at what came with it.
    let end = futures::stream::once(async { Ok(Bytes::new()) });
    pieces.chain(end).then(|piece| async move {
        tokio::task::yield_now().await;
        piece
    })
}

async fn put(
    engine: &Engine,
    ctx: &Ctx,
    devbox: &SandboxId,
    path: &str,
    mut field: Field<'_>,
) -> Result<(), Refused> {
    let mut writer: FileWriter = engine.write_file(ctx, devbox, target(path)).await?;
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if let Err(error) = writer.write(&piece).await {
            // The end of the transfer knows why (a full disk); the write does not.
            let why = writer.finish().await.err();
            return Err(why.unwrap_or(error).into());
        }
    }
    writer.finish().await?;
    Ok(())
}

pub(super) async fn download(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    headers: HeaderMap,
    Json(request): Json<wire::FilePath>,
) -> Result<Response, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let path = request.path.ok_or_else(|| missing("path"))?;
    let at = from_home(&path).into();
    Ok(content::file(&engine, &ctx, &devbox, at, &headers).await?)
}

fn target(path: &str) -> WriteFile {
    WriteFile {
        path: from_home(path).to_owned(),
        mode: None,
        parents: true,
        exclusive: false,
        expect_bytes: None,
        within: None,
    }
}

fn too_large(instead: &str) -> Refused {
    let text = format!("a text has {TEXT_MAX_BYTES} bytes at most; {instead} takes larger files");
    Refused::Vendor(StatusCode::PAYLOAD_TOO_LARGE, Retry::Usual, text)
}

fn missing(field: &str) -> Refused {
    Refused::invalid(field, "is missing")
}

fn broken(error: axum::extract::multipart::MultipartError) -> Refused {
    Error::invalid("body", error.body_text()).into()
}
