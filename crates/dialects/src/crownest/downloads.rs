//! Downloads: signed URLs, and the bytes behind them.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use pinfold_engine::{Engine, FileAt, LinkUse, Linked, ReadRange};
use pinfold_http::{BaseUrl, ByteRange, Caller, Download, Json, Path, RequestTag};
use pinfold_model::{Ctx, Error, Object, SandboxId};

use super::errors::{Refused, Word};
use super::from_wire::WORKSPACE;
use super::{artifacts, ids, to_wire, wire};

/// A URL for a file of the workspace, as it is at the time of the download.
pub(super) async fn of_file(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    base: BaseUrl,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::DownloadFile>,
) -> Result<Json<wire::DownloadUrl>, Refused> {
    let sandbox = ids::sandbox(&sandbox)?;
    let at = FileAt::within(&request.path, WORKSPACE);
    let link = engine.sign_found_file(&ctx, &sandbox, at, None).await?;
    Ok(Json(to_wire::download_url(&base, &link)))
}

pub(super) async fn of_artifact(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    base: BaseUrl,
    Path(id): Path<String>,
) -> Result<Json<wire::DownloadUrl>, Refused> {
    let object = artifacts::found(&engine, &ctx, &id).await?;
    let link = engine.sign_object_download(&ctx, &object.id, None).await?;
    Ok(Json(wire::DownloadUrl {
        headers: Some(BTreeMap::new()),
        ..to_wire::download_url(&base, &link)
    }))
}

/// What a signed URL leads to.
pub(super) async fn signed(
    State(engine): State<Engine>,
    Path(token): Path<String>,
    tag: RequestTag,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let found = engine.redeem(&token, LinkUse::Read, tag.id).await?;
    match found.linked {
        Linked::ObjectDownload { object: id } => {
            let linked = engine.get_object(&found.ctx, &id).await?;
            if linked.source.is_none() {
                return Err(Refused::no("artifact", id.as_str()));
            }
            object(&engine, &found.ctx, &linked, &headers).await
        }
        Linked::FileDownload {
            sandbox,
            path,
            within,
        } => {
            let at = FileAt::of(&path, within.as_deref());
            file(&engine, &found.ctx, &sandbox, at, &headers).await
        }
        Linked::ObjectUpload { .. } => Err(Refused::new(
            Word::Forbidden,
            "this URL is for another method",
        )),
    }
}

pub(super) async fn object(
    engine: &Engine,
    ctx: &Ctx,
    object: &Object,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    object.state.require_sealed()?;
    let download = Download {
        name: &object.name,
        content_type: &object.content_type,
        total_bytes: object.size_bytes,
        etag: object.digest.as_ref().map(|digest| digest.as_str()),
    };
    let range = download.range(headers)?;
    let reader = engine.read_object(ctx, &object.id, wanted(range)).await?;
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    Ok(download.answer(range, Body::from_stream(pieces)))
}

pub(super) async fn file(
    engine: &Engine,
    ctx: &Ctx,
    sandbox: &SandboxId,
    at: FileAt<'_>,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let mut reader = engine
        .read_file(ctx, sandbox, at, ReadRange::default())
        .await?;
    let download = Download {
        name: at.path(),
        content_type: "application/octet-stream",
        // Files of devices say 0 and hold something.
        total_bytes: reader.total_bytes().filter(|total| *total > 0),
        etag: None,
    };
    let range = download.range(headers)?;
    if range.is_some() {
        reader = engine.read_file(ctx, sandbox, at, wanted(range)).await?;
    }
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    Ok(download.answer(range, Body::from_stream(pieces)))
}

fn wanted(range: Option<ByteRange>) -> ReadRange {
    range.map_or(ReadRange::default(), |range| ReadRange {
        offset: range.offset,
        length: Some(range.length),
    })
}
