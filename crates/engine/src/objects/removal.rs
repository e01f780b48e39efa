//! Taking content away once nothing refers to it. What fails here is done by the reconciler.

use pinfold_model::{BlobId, Object, Result, Time};

use super::Written;
use crate::engine::Shared;

/// Deletes the object and, where it was the last with that content, the content.
pub(crate) async fn remove(shared: &Shared, object: Object, at: Time) -> Result<Object> {
    let objects = shared.store.objects();
    let deleted = objects.delete(&object.id, at).await?;
    if let Some(blob) = &object.content {
        give_up(shared, blob).await;
    }
    match deleted {
        Some(deleted) => Ok(deleted),
        // Deleted before, at another time.
        None => Ok(objects.get(&object.id).await?.unwrap_or(object)),
    }
}

/// Removes content that no object refers to; other content stays.
pub(crate) async fn give_up(shared: &Shared, blob: &BlobId) {
    let released = match shared.store.objects().release(blob).await {
        Ok(released) => released,
        Err(error) => {
            tracing::warn!(%blob, %error, "content not given up yet");
            return;
        }
    };
    if released && let Err(error) = shared.blobs.remove(blob).await {
        tracing::warn!(%blob, %error, "content not removed yet");
    }
}

/// Removes bytes that never were recorded.
pub(crate) async fn discard(shared: &Shared, (content, lease): Written) {
    if let Err(error) = shared.blobs.remove(&content.blob).await {
        tracing::warn!(blob = %content.blob, %error, "content not removed yet");
    }
    drop(lease);
}
