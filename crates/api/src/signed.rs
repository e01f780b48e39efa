//! The route behind signed URLs. It takes no key: the URL is the proof.
//!
//! The token is in the path, which spans, counters and logs show only as the route's pattern.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use pinfold_engine::{FileAt, LinkUse, Linked};
use pinfold_http::{Failure, Json, Path, RequestTag};
use pinfold_model::{Code, Error};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::object as convert;
use crate::state::Api;
use crate::{files, objects};

/// What needs no key.
pub(crate) fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read_signed, write_signed))
}

/// Downloads what a signed URL is for: all of it, or one range.
#[utoipa::path(get, path = "/v1/signed/{token}", tag = "objects", security(()),
    params(("token" = String, Path),
        ("range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, one range")),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "the range", content_type = "application/octet-stream", body = Vec<u8>)))]
async fn read_signed(
    State(api): State<Api>,
    Path(token): Path<String>,
    tag: RequestTag,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let found = api.engine.redeem(&token, LinkUse::Read, tag.id).await?;
    match found.linked {
        Linked::ObjectDownload { object } => {
            objects::downloaded(&api, &found.ctx, &object, &headers).await
        }
        Linked::FileDownload {
            sandbox,
            path,
            within,
        } => {
            let at = FileAt::of(&path, within.as_deref());
            files::downloaded(&api, &found.ctx, &sandbox, at, &headers).await
        }
        Linked::ObjectUpload { .. } | Linked::Terminals { .. } => Err(mismatch()),
    }
}

/// Uploads what a signed URL is for.
#[utoipa::path(put, path = "/v1/signed/{token}", tag = "objects", security(()),
    params(("token" = String, Path)),
    request_body(content_type = "application/octet-stream", description = "raw bytes, streamed"),
    responses((status = 200, body = wire::Object)))]
async fn write_signed(
    State(api): State<Api>,
    Path(token): Path<String>,
    tag: RequestTag,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<wire::Object>, Failure> {
    let found = api.engine.redeem(&token, LinkUse::Write, tag.id).await?;
    let Linked::ObjectUpload { object } = found.linked else {
        return Err(mismatch());
    };
    let content = objects::content(&headers, body);
    let object = api
        .engine
        .upload_object(&found.ctx, &object, content)
        .await?;
    Ok(Json(convert::to_wire(object)))
}

fn mismatch() -> Failure {
    Error::new(Code::LinkInvalid, "this link is for another method").into()
}
