//! Deletes objects whose time is over, and removes bytes that no object refers to.

use pinfold_model::{BlobId, Error, Result, limits};

use crate::engine::Shared;
use crate::objects::give_up;

/// Things of one kind that one turn takes on at most, so that a turn ends; the next goes on.
const TURN_MAX: u32 = 1000;

pub(super) async fn retire(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let objects = shared.store.objects();
    let uploads_before = now - limits::OBJECT_UPLOAD_MAX;
    for id in objects.overdue(now, uploads_before, TURN_MAX).await? {
        objects.delete_overdue(&id, now).await?;
    }
    // Their content among them.
    for blob in objects.unreferenced(TURN_MAX).await? {
        give_up(shared, &blob).await;
    }
    Ok(())
}

/// Removes what a crash left in the storage: bytes that were never recorded, and bytes whose record
/// is gone.
pub(super) async fn sweep(shared: &Shared) -> Result<()> {
    let store = shared.store.clone();
    let wanted = move |blobs: Vec<BlobId>| {
        let store = store.clone();
        async move { Ok::<_, Error>(store.objects().known(&blobs).await?) }
    };
    let removed = shared.blobs.sweep(wanted).await?;
    if removed > 0 {
        tracing::info!(removed, "removed content that nothing refers to");
    }
    Ok(())
}
