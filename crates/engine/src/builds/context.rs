//! The context of a build: an object, read as a stream.

use std::io::{self, Read};
use std::sync::Arc;

use futures::TryStreamExt;
use pinfold_images::{Context, ContextError, CopyAction, CopyKind, Selection};
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_store::BlobReader;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::owner::{Owner, failure};

/// What the context holds.
pub(super) async fn read_context(owner: &Owner) -> Result<Context, BuildFailure> {
    let reader = open_context(owner).await?;
    let read = owner.blocking(move || Context::read(reader)).await?;
    read.map_err(context_failure)
}

/// What a copy takes from it.
pub(super) async fn select(
    owner: &Owner,
    context: &Arc<Context>,
    copy: &CopyAction,
) -> Result<Selection, BuildFailure> {
    let (context, paths) = (Arc::clone(context), copy.paths.clone());
    let unpack = copy.kind == CopyKind::Add;
    let selected = owner
        .blocking(move || context.select(&paths, unpack))
        .await?;
    selected.map_err(context_failure)
}

/// Its bytes, for a blocking task.
pub(super) async fn open_context(
    owner: &Owner,
) -> Result<impl Read + Send + 'static, BuildFailure> {
    let refused = |text: &str| BuildFailure::new(BuildFault::Context, text);
    let Some(id) = &owner.build.spec.context else {
        return Err(refused(
            "the build has no context to copy from; upload one and name it",
        ));
    };
    let object = owner.shared.store.objects().get(id).await;
    let object = object.map_err(|error| failure(&error.into()))?;
    let object = object.filter(|object| object.project == owner.build.project);
    let content = object.and_then(|object| object.content.zip(object.size_bytes));
    let (blob, size) = content.ok_or_else(|| refused("the context has been deleted"))?;
    let reader = owner.shared.blobs.read(&blob, 0..size).await;
    let reader = reader.map_err(|error| failure(&pinfold_model::Error::from(error)))?;
    let pieces = futures::stream::try_unfold(reader, |mut reader: BlobReader| async move {
        let piece = reader.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    });
    Ok(SyncIoBridge::new(StreamReader::new(Box::pin(
        pieces.into_stream(),
    ))))
}

pub(super) fn context_failure(error: ContextError) -> BuildFailure {
    let text = match &error {
        ContextError::Refused(_) => error.to_string(),
        ContextError::Read(cause) => format!("the context cannot be read: {cause}"),
        ContextError::Write(_) => "the copy broke off".to_owned(),
    };
    BuildFailure::new(BuildFault::Context, text)
}
