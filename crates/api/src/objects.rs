//! Routes of objects.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use futures::StreamExt;
use pinfold_engine::{LinkUse, ObjectBody, ObjectReader, ReadRange};
use pinfold_http::{
    BaseUrl, Caller, Download, Failure, IdempotencyKey, Json, Path, Query, pairs, parse_pairs,
};
use pinfold_model::{Ctx, Error, Object, ObjectId};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::object as convert;
use crate::sandboxes::{accepted, take_metadata};
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_object, list_objects))
        .routes(routes!(upload_new_object))
        .routes(routes!(get_object, delete_object))
        .routes(routes!(read_object, upload_object))
        .routes(routes!(complete_object))
        .routes(routes!(sign_object))
        .routes(routes!(sign_file))
}

type Answer = Result<Json<wire::Object>, Failure>;

fn answer(object: Object) -> Answer {
    Ok(Json(convert::to_wire(object)))
}

/// Makes an object of a file in a sandbox, as its bytes are now; or, without a file, one that waits
/// for its content to be uploaded and completed within 7 days.
#[utoipa::path(post, path = "/v1/objects", tag = "objects",
    params(("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::CreateObject,
    responses(
        (status = 201, description = "made", body = wire::Object),
        (status = 200, description = "made by an earlier request with the same key", body = wire::Object)))]
async fn create_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateObject>,
) -> Result<Response, Failure> {
    let (request, file) = convert::from_wire(request)?;
    let (engine, key) = (&api.engine, key.as_deref());
    let made = match file {
        Some((sandbox, path)) => {
            engine
                .create_object_from_file(&ctx, &sandbox, &path, request, key)
                .await
        }
        None => engine.begin_object(&ctx, request, key).await,
    };
    Ok(accepted(made?, convert::to_wire))
}

/// Makes a sealed object of the body. Further parameters `metadata.KEY=VALUE` are its metadata.
#[utoipa::path(post, path = "/v1/objects/upload", tag = "objects",
    params(wire::UploadObjectQuery,
        ("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body(content_type = "application/octet-stream", description = "raw bytes, streamed"),
    responses(
        (status = 201, description = "made", body = wire::Object),
        (status = 200, description = "made by an earlier request with the same key", body = wire::Object)))]
async fn upload_new_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (metadata, rest) = take_metadata(pairs(&uri)?)?;
    let request = convert::upload(parse_pairs(rest)?, metadata);
    let content = content(&headers, body);
    let made = api
        .engine
        .create_object(&ctx, request, content, key.as_deref())
        .await?;
    Ok(accepted(made, convert::to_wire))
}

/// Lists objects, newest first.
#[utoipa::path(get, path = "/v1/objects", tag = "objects", params(wire::ListObjects),
    responses((status = 200, body = wire::Page<wire::Object>)))]
async fn list_objects(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListObjects>,
) -> Result<Json<wire::Page<wire::Object>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let filter = convert::filter(&query)?;
    let found = api.engine.list_objects(&ctx, &filter, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// One object, also after its deletion.
#[utoipa::path(get, path = "/v1/objects/{object_id}", tag = "objects",
    params(("object_id" = String, Path)),
    responses((status = 200, body = wire::Object)))]
async fn get_object(State(api): State<Api>, Caller(ctx): Caller, Path(id): Path<String>) -> Answer {
    answer(api.engine.get_object(&ctx, &ids::object(&id)?).await?)
}

/// Deletes an object's content and keeps its facts. Repeating this changes nothing.
#[utoipa::path(delete, path = "/v1/objects/{object_id}", tag = "objects",
    params(("object_id" = String, Path)),
    responses((status = 200, body = wire::Object)))]
async fn delete_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.delete_object(&ctx, &ids::object(&id)?).await?)
}

/// Reads a sealed object's content: all of it, or one range.
#[utoipa::path(get, path = "/v1/objects/{object_id}/content", tag = "objects",
    params(("object_id" = String, Path),
        ("range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, one range")),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "the range", content_type = "application/octet-stream", body = Vec<u8>)))]
async fn read_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    downloaded(&api, &ctx, &ids::object(&id)?, &headers).await
}

/// Gives an object that is being uploaded its content, in place of what was uploaded before.
#[utoipa::path(put, path = "/v1/objects/{object_id}/content", tag = "objects",
    params(("object_id" = String, Path)),
    request_body(content_type = "application/octet-stream", description = "raw bytes, streamed"),
    responses((status = 200, body = wire::Object)))]
async fn upload_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let content = content(&headers, body);
    let id = ids::object(&id)?;
    answer(api.engine.upload_object(&ctx, &id, content).await?)
}

/// Seals an object whose content was uploaded. Repeating this changes nothing.
#[utoipa::path(post, path = "/v1/objects/{object_id}/complete", tag = "objects",
    params(("object_id" = String, Path)),
    responses((status = 200, body = wire::Object)))]
async fn complete_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    answer(api.engine.complete_object(&ctx, &ids::object(&id)?).await?)
}

/// A URL for downloading or uploading an object without a key.
#[utoipa::path(post, path = "/v1/objects/{object_id}/url", tag = "objects",
    params(("object_id" = String, Path)), request_body = wire::SignObject,
    responses((status = 200, body = wire::SignedUrl)))]
async fn sign_object(
    State(api): State<Api>,
    Caller(ctx): Caller,
    base: BaseUrl,
    Path(id): Path<String>,
    Json(request): Json<wire::SignObject>,
) -> Result<Json<wire::SignedUrl>, Failure> {
    let id = ids::object(&id)?;
    let lifetime = request.expires_in_ms.map(Duration::from_millis);
    let (link, wanted) = match request.link_use.unwrap_or(wire::LinkUse::Download) {
        wire::LinkUse::Download => (
            api.engine.sign_object_download(&ctx, &id, lifetime).await?,
            LinkUse::Read,
        ),
        wire::LinkUse::Upload => (
            api.engine.sign_object_upload(&ctx, &id, lifetime).await?,
            LinkUse::Write,
        ),
        wire::LinkUse::Unknown => {
            let words = "use must be \"download\" or \"upload\"";
            return Err(Error::invalid("use", words).into());
        }
    };
    Ok(Json(convert::signed_url(&base, link, wanted)))
}

/// A URL for downloading a file of a sandbox without a key, as the file is at that time.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox_id}/files/url", tag = "files",
    params(("sandbox_id" = String, Path)), request_body = wire::SignFile,
    responses((status = 200, body = wire::SignedUrl)))]
async fn sign_file(
    State(api): State<Api>,
    Caller(ctx): Caller,
    base: BaseUrl,
    Path(sandbox): Path<String>,
    Json(request): Json<wire::SignFile>,
) -> Result<Json<wire::SignedUrl>, Failure> {
    let sandbox = ids::sandbox(&sandbox)?;
    let lifetime = request.expires_in_ms.map(Duration::from_millis);
    let link = api
        .engine
        .sign_file_download(&ctx, &sandbox, &request.path, lifetime)
        .await?;
    Ok(Json(convert::signed_url(&base, link, LinkUse::Read)))
}

/// A request's body as an object's content.
pub(crate) fn content(headers: &HeaderMap, body: Body) -> ObjectBody {
    let announced = headers.get(CONTENT_LENGTH);
    let pieces = body.into_data_stream().map(|piece| {
        piece.map_err(|error| Error::invalid("body", "the body broke off").because(error))
    });
    ObjectBody {
        pieces: pieces.boxed(),
        announced: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
    }
}

/// An object's content, or the part of it that the headers ask for, as the answer.
pub(crate) async fn downloaded(
    api: &Api,
    ctx: &Ctx,
    id: &ObjectId,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let object = api.engine.get_object(ctx, id).await?;
    object.state.require_sealed()?;
    let download = Download {
        name: &object.name,
        content_type: &object.content_type,
        total_bytes: object.size_bytes,
        etag: object.digest.as_ref().map(|digest| digest.as_str()),
    };
    let range = download.range(headers)?;
    let wanted = range.map_or(ReadRange::default(), |range| ReadRange {
        offset: range.offset,
        length: Some(range.length),
    });
    let reader = api.engine.read_object(ctx, id, wanted).await?;
    Ok(download.answer(range, body_of(reader)))
}

/// Pieces as the connection takes them.
fn body_of(reader: ObjectReader) -> Body {
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    Body::from_stream(pieces)
}
