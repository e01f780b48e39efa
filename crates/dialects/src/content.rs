//! Bytes of objects and of files, in and out, as more than one vendor has them.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use futures::StreamExt;
use pinfold_engine::{Engine, FileAt, ObjectBody, ReadRange};
use pinfold_http::{ByteRange, Download, Failure};
use pinfold_model::{Ctx, Error, Object, SandboxId};

/// An object's content, or the part of it that the headers ask for.
pub(crate) async fn object(
    engine: &Engine,
    ctx: &Ctx,
    object: &Object,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
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

/// A file of any size, or the part of it that the headers ask for.
pub(crate) async fn file(
    engine: &Engine,
    ctx: &Ctx,
    sandbox: &SandboxId,
    at: FileAt<'_>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
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

/// A request's body as an object's content.
pub(crate) fn uploaded(headers: &HeaderMap, body: Body) -> ObjectBody {
    let announced = headers.get(CONTENT_LENGTH);
    let pieces = body.into_data_stream().map(|piece| {
        piece.map_err(|error| Error::invalid("body", "the body broke off").because(error))
    });
    ObjectBody {
        pieces: pieces.boxed(),
        announced: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
    }
}

fn wanted(range: Option<ByteRange>) -> ReadRange {
    range.map_or(ReadRange::default(), |range| ReadRange {
        offset: range.offset,
        length: Some(range.length),
    })
}
