//! Downloads: signed URLs, and the bytes behind them.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_engine::{Engine, FileAt, LinkUse, Linked, ReadRange};
use pinfold_http::{BaseUrl, Caller, Json, Path, RequestTag, resolve_range};
use pinfold_model::{Ctx, Error, ObjectId, SandboxId};

use super::errors::{Refused, Word};
use super::from_wire::WORKSPACE;
use super::{ids, to_wire, wire};

/// What the bytes are is not for a browser to guess, since they are of tenants.
const PLAIN: [(&str, &str); 2] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox; default-src 'none'"),
];

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
    let id = ids::artifact(&id)?;
    let link = engine.sign_object_download(&ctx, &id, None).await?;
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
        Linked::ObjectDownload { object: id } => object(&engine, &found.ctx, &id, &headers).await,
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
    id: &ObjectId,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let whole = engine.read_object(ctx, id, ReadRange::default()).await?;
    let total = whole.total_bytes();
    let kind = whole.object().content_type.clone();
    let range = resolve_range(headers, total)?;
    let reader = match range {
        Some(range) => {
            let part = ReadRange {
                offset: range.offset,
                length: Some(range.length),
            };
            engine.read_object(ctx, id, part).await?
        }
        None => whole,
    };
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    let body = Body::from_stream(pieces);
    let about = [(CONTENT_TYPE, kind), (ACCEPT_RANGES, "bytes".to_owned())];
    Ok(match range {
        Some(range) => {
            let part = [
                (CONTENT_LENGTH, range.length.to_string()),
                (CONTENT_RANGE, range.content_range(total)),
            ];
            (StatusCode::PARTIAL_CONTENT, PLAIN, about, part, body).into_response()
        }
        None => (PLAIN, about, [(CONTENT_LENGTH, total.to_string())], body).into_response(),
    })
}

pub(super) async fn file(
    engine: &Engine,
    ctx: &Ctx,
    sandbox: &SandboxId,
    at: FileAt<'_>,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let whole = engine
        .read_file(ctx, sandbox, at, ReadRange::default())
        .await?;
    let total = whole.total_bytes().unwrap_or(0);
    let range = resolve_range(headers, total)?;
    let reader = match range {
        Some(range) => {
            let part = ReadRange {
                offset: range.offset,
                length: Some(range.length),
            };
            engine.read_file(ctx, sandbox, at, part).await?
        }
        None => whole,
    };
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    let body = Body::from_stream(pieces);
    let about = [
        (CONTENT_TYPE, "application/octet-stream"),
        (ACCEPT_RANGES, "bytes"),
    ];
    Ok(match range {
        Some(range) => {
            let part = [
                (CONTENT_LENGTH, range.length.to_string()),
                (CONTENT_RANGE, range.content_range(total)),
            ];
            (StatusCode::PARTIAL_CONTENT, PLAIN, about, part, body).into_response()
        }
        None if total > 0 => {
            (PLAIN, about, [(CONTENT_LENGTH, total.to_string())], body).into_response()
        }
        // An empty file, or one whose size nobody knows before its end.
        None => (PLAIN, about, body).into_response(),
    })
}
