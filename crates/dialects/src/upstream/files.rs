//! Files: raw bytes both ways, as they come.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use pinfold_engine::{Engine, FileReader, FileWriter, ReadRange, WriteFile};
use pinfold_http::{Failure, Path, Query};
use pinfold_model::Error;

use super::{Account, from_wire, wire};

const MODE: u32 = 0o644;

pub(super) async fn read(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(sandbox): Path<String>,
    Query(file): Query<wire::File>,
) -> Result<Response, Failure> {
    let sandbox = from_wire::sandbox_id(&sandbox)?;
    let whole = ReadRange::default();
    let reader = engine.read_file(&ctx, &sandbox, &file.path, whole).await?;
    let kind = [(CONTENT_TYPE, "application/octet-stream")];
    // Files of proc say 0 and hold something.
    match reader.total_bytes().filter(|total| *total > 0) {
        Some(total) => {
            let length = [(CONTENT_LENGTH, total.to_string())];
            Ok((kind, length, pieces(reader)).into_response())
        }
        None => Ok((kind, pieces(reader)).into_response()),
    }
}

fn pieces(reader: FileReader) -> Body {
    let pieces = futures::stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, reader)))
    });
    Body::from_stream(pieces)
}

/// Readers see the old file or the new; a body that breaks off leaves the old one.
pub(super) async fn write(
    State(engine): State<Engine>,
    Account(ctx): Account,
    Path(sandbox): Path<String>,
    Query(file): Query<wire::File>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let sandbox = from_wire::sandbox_id(&sandbox)?;
    let announced = headers.get(CONTENT_LENGTH);
    let request = WriteFile {
        path: file.path,
        mode: Some(MODE),
        parents: true,
        exclusive: false,
        within: None,
        expect_bytes: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
    };
    let writer = engine.write_file(&ctx, &sandbox, request).await?;
    pour(body, writer).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pour(body: Body, mut writer: FileWriter) -> Result<(), Failure> {
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece =
            piece.map_err(|error| Error::invalid("body", "the body broke off").because(error))?;
        if let Err(error) = writer.write(&piece).await {
            // The end of the transfer knows why (a full disk); the write does not.
            let why = writer.finish().await.err();
            return Err(why.unwrap_or(error).into());
        }
    }
    writer.finish().await?;
    Ok(())
}
