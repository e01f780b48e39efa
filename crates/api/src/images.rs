//! Routes of images.

mod pulls;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt;
use pinfold_engine::{ImageExport, ImageImport, Share};
use pinfold_http::{Caller, Download, Failure, Json, Path, Query};
use pinfold_model::{Code, Error, Image};
use pinfold_wire as wire;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::broke_off;
use crate::convert::image as convert;
use crate::page;
use crate::state::{Api, ApiConfig};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_images))
        .routes(routes!(get_image, put_image, remove_image))
        .routes(routes!(export_image))
        .merge(pulls::routes())
}

fn answer(image: Image) -> Json<wire::Image> {
    Json(convert::to_wire(image))
}

/// Lists the images that the caller's project may use, newest first.
#[utoipa::path(get, path = "/v1/images", tag = "images", params(wire::ListImages),
    responses((status = 200, body = wire::Page<wire::Image>)))]
async fn list_images(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListImages>,
) -> Result<Json<wire::Page<wire::Image>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_images(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// One image by name, name and tag, or id. A `/` in the name is written `%2F`.
#[utoipa::path(get, path = "/v1/images/{image}", tag = "images",
    params(("image" = String, Path)),
    responses((status = 200, body = wire::Image)))]
async fn get_image(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<Json<wire::Image>, Failure> {
    Ok(answer(api.engine.get_image(&ctx, &name).await?))
}

/// Imports the body, a tar of a root filesystem or of an OCI layout (plain, gzip or zstd), under a
/// name, for every project. Needs an admin key.
#[utoipa::path(put, path = "/v1/images/{image}", tag = "images",
    params(("image" = String, Path), wire::PutImageQuery),
    request_body(content_type = "application/x-tar", description = "a tar, streamed"),
    responses((status = 200, body = wire::Image)),
    extensions(("x-pinfold-role" = json!("admin"))))]
async fn put_image(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
    Query(query): Query<wire::PutImageQuery>,
    body: Body,
) -> Result<Json<wire::Image>, Failure> {
    // The engine checks too; here it is before gigabytes are taken in.
    ctx.require_admin()?;
    let name = name.parse()?;
    let upload = spooled(&api.config, body).await?;
    let import = ImageImport {
        name,
        path: upload.path().to_owned(),
        select: query.select,
        share: Share::Everyone,
    };
    // A client that goes away drops this future, and with it the work.
    let abandoned = Abandoned::default();
    let flag = Arc::clone(&abandoned.0);
    let go_on = move |_| match flag.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let image = api
        .engine
        .import_image(&ctx, import, Box::new(go_on))
        .await?;
    Ok(answer(image))
}

/// Set when dropped.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The body in a file of its own, which goes when the handle does.
async fn spooled(config: &ApiConfig, body: Body) -> Result<NamedTempFile, Failure> {
    let upload = NamedTempFile::with_prefix_in("image-upload-", &config.upload_dir)
        .map_err(Error::internal)?;
    let handle = upload.reopen().map_err(Error::internal)?;
    let mut file = tokio::fs::File::from_std(handle);
    let (mut body, mut written) = (body.into_data_stream(), 0u64);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broke_off)?;
        written += piece.len() as u64;
        if written > config.image_upload_max_bytes {
            let max = config.image_upload_max_bytes;
            let text = format!("an image upload may be at most {max} bytes");
            return Err(Error::new(Code::BodyTooLarge, text)
                .detail("max_bytes", max)
                .into());
        }
        file.write_all(&piece).await.map_err(Error::internal)?;
    }
    file.flush().await.map_err(Error::internal)?;
    Ok(upload)
}

/// The image as an OCI layout in a tar, with plain layers: what container tools load, and what
/// `PUT` takes. An image over `host` has nothing of its own to give and is refused.
#[utoipa::path(get, path = "/v1/images/{image}/export", tag = "images",
    params(("image" = String, Path)),
    responses((status = 200, content_type = "application/x-tar", description = "a tar, streamed")))]
async fn export_image(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let export = api.engine.export_image(&ctx, &name).await?;
    let download = Download {
        name: &format!("{}.tar", export.image.id),
        content_type: "application/x-tar",
        total_bytes: Some(export.size_bytes),
        etag: None,
    };
    // From its beginning only: a part would cost as much as all of it.
    Ok(download.answer(None, body_of(export)))
}

/// Pieces as the connection takes them.
fn body_of(export: ImageExport) -> Body {
    let pieces = futures::stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, export)))
    });
    Body::from_stream(pieces)
}

/// Removes an image by name or id, unless a live sandbox was made from it. One that is shared by
/// every project needs an admin key.
#[utoipa::path(delete, path = "/v1/images/{image}", tag = "images",
    params(("image" = String, Path)),
    responses((status = 204, description = "removed")))]
async fn remove_image(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    api.engine.remove_image(&ctx, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
