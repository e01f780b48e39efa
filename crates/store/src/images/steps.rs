//! Images that steps of builds left: found again by what they were made from, listed nowhere.

use pinfold_model::{Image, ImageId, ProjectId, Time};

use super::{DELETE, Images, USER, columns, insert_in, to_images};
use crate::db::{Sql, statements};
use crate::error::Result;
use crate::scope::owner;

statements! {
    FIND = Sql::both(concat!(
        "SELECT ", columns!(), " FROM images i LEFT JOIN image_names n ON n.image_id = i.id \
         WHERE i.scope = $1 AND i.step_key = $2 AND i.deleted_at IS NULL \
         ORDER BY i.created_at DESC, i.id DESC LIMIT 1"
    ));
    USED = Sql::both("UPDATE images SET used_at = $2 WHERE id = $1 AND deleted_at IS NULL");
    PASSED = Sql::both(
        "UPDATE images SET used_at = $3 WHERE scope = $1 AND step_key = $2 AND deleted_at IS NULL",
    );
    LOCK_UNUSED = Sql::split(
        "SELECT id FROM images WHERE id = $1 AND used_at = $2 AND deleted_at IS NULL",
        "SELECT id FROM images WHERE id = $1 AND used_at = $2 AND deleted_at IS NULL FOR UPDATE",
    );
    STEPS = Sql::both(
        "SELECT id, scope, used_at FROM images \
         WHERE step_key IS NOT NULL AND deleted_at IS NULL ORDER BY scope, used_at DESC, id DESC",
    );
    DISK = Sql::both("SELECT id FROM images WHERE disk = $1 AND deleted_at IS NULL LIMIT 1");
}

/// A step's image, as far as deciding about its removal takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepImage {
    pub id: ImageId,
    /// Whose it is.
    pub scope: String,
    pub used_at: Time,
}

impl Images<'_> {
    /// Records what a step left under what it was made from.
    pub async fn insert_step(&self, image: &Image, key: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        insert_in(&mut tx, image, Some(key)).await?;
        tx.commit().await
    }

    /// What a step of the project left that was made from this, the newest.
    pub async fn find_step(&self, project: &ProjectId, key: &str) -> Result<Option<Image>> {
        let rows = self
            .db
            .rows(FIND.bind(owner(Some(project))).bind(key))
            .await?;
        Ok(to_images(&rows)?.pop())
    }

    /// Notes that a step's image was of use; `false` where it is gone.
    pub async fn step_used(&self, id: &ImageId, at: Time) -> Result<bool> {
        let used = USED.bind(id.as_str()).bind(at);
        Ok(self.db.execute(used).await? > 0)
    }

    /// Notes that what a step of the project left was of use, where there is anything.
    pub async fn step_passed(&self, project: &ProjectId, key: &str, at: Time) -> Result<()> {
        let passed = PASSED.bind(owner(Some(project))).bind(key).bind(at);
        self.db.execute(passed).await.map(drop)
    }

    /// Deletes a step's image; answers whether it did. It does not where the image was of use since
    /// it was listed, or a live sandbox was made from it.
    pub async fn retire_step(&self, step: &StepImage, at: Time) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let unused = LOCK_UNUSED.bind(step.id.as_str()).bind(step.used_at);
        if tx.row(unused).await?.is_none() || tx.row(USER.bind(step.id.as_str())).await?.is_some() {
            return Ok(false);
        }
        tx.execute(DELETE.bind(step.id.as_str()).bind(at)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// All of them; those of one project follow each other, the last used first.
    pub async fn list_steps(&self) -> Result<Vec<StepImage>> {
        let rows = self.db.rows(STEPS.query()).await?;
        let step = |row: &crate::db::Row| {
            Ok(StepImage {
                id: row.parse("id")?,
                scope: row.text("scope")?,
                used_at: row.time("used_at")?,
            })
        };
        rows.iter().map(step).collect()
    }

    /// Whether any image begins with this copy of a disk.
    pub async fn disk_is_used(&self, disk: &ImageId) -> Result<bool> {
        Ok(self.db.row(DISK.bind(disk.as_str())).await?.is_some())
    }
}
