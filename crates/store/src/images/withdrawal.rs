//! Images that were given up while sandboxes lived on them: found by nobody, deleted behind the last.

use pinfold_model::{Image, ImageId, Time};

use super::{DELETE, Images, REMOVE_NAMES, USER, columns, lock, to_images};
use crate::db::{Sql, statements};
use crate::error::Result;

statements! {
    FIND = Sql::both(concat!(
        "SELECT ", columns!(), " FROM images i LEFT JOIN image_names n ON n.image_id = i.id \
         WHERE i.id = $1 AND i.deleted_at IS NULL AND i.withdrawn_at IS NULL ORDER BY n.name, n.tag"
    ));
    WITHDRAW = Sql::both(
        "UPDATE images SET withdrawn_at = $2 WHERE id = $1 AND withdrawn_at IS NULL",
    );
    UNUSED = Sql::both(concat!(
        "SELECT ", columns!(), " FROM images i LEFT JOIN image_names n ON n.image_id = i.id \
         WHERE i.withdrawn_at IS NOT NULL AND i.deleted_at IS NULL AND NOT EXISTS \
             (SELECT 1 FROM sandboxes s WHERE s.image_id = i.id AND s.live = 1) \
         ORDER BY i.withdrawn_at, i.id"
    ));
}

/// What became of an image that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    Deleted,
    /// Live sandboxes were made from it.
    Deferred,
}

impl Images<'_> {
    /// The image, whosever it is, unless it was deleted or withdrawn.
    pub async fn find(&self, id: &ImageId) -> Result<Option<Image>> {
        let rows = self.db.few(FIND.bind(id.as_str())).await?;
        Ok(to_images(&rows)?.pop())
    }

    /// Takes the image's names away and deletes it, or withdraws it while a live sandbox was made
    /// from it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) for one that was deleted.
    pub async fn withdraw(&self, id: &ImageId, at: Time) -> Result<Withdrawal> {
        let mut tx = self.db.begin().await?;
        lock(&mut tx, id).await?;
        tx.execute(REMOVE_NAMES.bind(id.as_str())).await?;
        let (change, withdrawal) = match tx.row(USER.bind(id.as_str())).await? {
            Some(_) => (WITHDRAW, Withdrawal::Deferred),
            None => (DELETE, Withdrawal::Deleted),
        };
        tx.execute(change.bind(id.as_str()).bind(at)).await?;
        tx.commit().await?;
        Ok(withdrawal)
    }

    /// Withdrawn images that no live sandbox needs any more.
    pub async fn withdrawn_unused(&self) -> Result<Vec<Image>> {
        to_images(&self.db.rows(UNUSED.query()).await?)
    }
}
