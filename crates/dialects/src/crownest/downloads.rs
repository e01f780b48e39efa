//! Downloads: signed URLs, and the bytes behind them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use pinfold_engine::{Engine, FileAt, LinkUse, Linked};
use pinfold_http::{BaseUrl, Caller, Json, Path, RequestTag};

use super::errors::{Refused, Word};
use super::from_wire::WORKSPACE;
use super::{artifacts, ids, to_wire, wire};
use crate::content;

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
            Ok(content::object(&engine, &found.ctx, &linked, &headers).await?)
        }
        Linked::FileDownload {
            sandbox,
            path,
            within,
        } => {
            let at = FileAt::of(&path, within.as_deref());
            Ok(content::file(&engine, &found.ctx, &sandbox, at, &headers).await?)
        }
        Linked::ObjectUpload { .. } | Linked::Terminals { .. } => Err(Refused::new(
            Word::Forbidden,
            "this URL is for another method",
        )),
    }
}
