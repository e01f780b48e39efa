//! Images and their names. Layers are named by digest; their bytes live elsewhere.
//!
//! A name belongs to one scope (a project, or all of them) and to one image in it; giving it to
//! another image moves it. A deleted image keeps its row, for the sandboxes that were made from it. One
//! that is withdrawn is found by nobody but the sandboxes that live on it, and is deleted behind them.

mod steps;
mod withdrawal;

use std::collections::HashSet;

use pinfold_model::{Digest, Image, ImageId, ImageName, ProjectId, Time};

use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::{owner, parse_owner};

pub use steps::StepImage;
pub use withdrawal::Withdrawal;

pub(crate) use steps::ALL as STEPS;
pub(crate) use withdrawal::ALL as WITHDRAWAL;

/// Repository of images.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    db: &'a Db,
}

// An image's columns come once for each of its names, or once with NULL for an image without any.
macro_rules! columns {
    () => {
        "i.id, i.scope, i.source, i.layers, i.config, i.size_bytes, i.created_at, n.name, n.tag"
    };
}
use columns;

statements! {
    INSERT = Sql::both(
        "INSERT INTO images (id, scope, source, layers, config, size_bytes, created_at, disk, \
             step_key, used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7)",
    );
    LOCK_DISK = Sql::split(
        "SELECT id FROM images WHERE disk = $1 AND deleted_at IS NULL",
        "SELECT id FROM images WHERE disk = $1 AND deleted_at IS NULL FOR SHARE",
    );
    NAME = Sql::both(
        "INSERT INTO image_names (scope, name, tag, image_id) \
         SELECT scope, $2, $3, id FROM images \
         WHERE id = $1 AND deleted_at IS NULL AND withdrawn_at IS NULL \
         ON CONFLICT (scope, name, tag) DO UPDATE SET image_id = excluded.image_id",
    );
    REMOVE_NAME = Sql::both(
        "DELETE FROM image_names WHERE scope = $1 AND name = $2 AND tag = $3",
    );
    GET = Sql::both(concat!(
        "SELECT ", columns!(), " FROM images i LEFT JOIN image_names n ON n.image_id = i.id \
         WHERE i.id = $1 AND i.deleted_at IS NULL ORDER BY n.name, n.tag"
    ));
    // '' sorts before every project, so a project's own name wins over a shared one.
    RESOLVE = Sql::both(concat!(
        "SELECT ", columns!(), " FROM images i \
         JOIN (SELECT image_id FROM image_names \
               WHERE scope IN ($1, '') AND name = $2 AND tag = $3 \
               ORDER BY scope DESC LIMIT 1) hit ON hit.image_id = i.id \
         LEFT JOIN image_names n ON n.image_id = i.id ORDER BY n.name, n.tag"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM \
             (SELECT * FROM images \
              WHERE scope IN ($1, '') AND deleted_at IS NULL AND step_key IS NULL \
                  AND withdrawn_at IS NULL AND (created_at, id) < ($2, $3) \
              ORDER BY created_at DESC, id DESC LIMIT $4) i \
         LEFT JOIN image_names n ON n.image_id = i.id \
         ORDER BY i.created_at DESC, i.id DESC, n.name, n.tag"
    ));
    LOCK = Sql::split(
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL",
        "SELECT id FROM images WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
    );
    USER = Sql::both("SELECT id FROM sandboxes WHERE image_id = $1 AND live = 1 LIMIT 1");
    REMOVE_NAMES = Sql::both("DELETE FROM image_names WHERE image_id = $1");
    DELETE = Sql::both("UPDATE images SET deleted_at = $2 WHERE id = $1");
    // `source` is the JSON of an enum whose variant this is.
    COUNT_SNAPSHOTS = Sql::both(
        "SELECT COUNT(*) AS number FROM images \
         WHERE scope = $1 AND deleted_at IS NULL AND withdrawn_at IS NULL \
             AND source LIKE '{\"snapshot\":%'",
    );
    LAYERS = Sql::both("SELECT layers FROM images WHERE deleted_at IS NULL");
}

impl<'a> Images<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records an image and gives it its names, taking them from other images of the same scope.
    /// Fails with [`StoreError::AlreadyExists`] for a known id.
    pub async fn insert(&self, image: &Image) -> Result<()> {
        let mut tx = self.db.begin().await?;
        insert_in(&mut tx, image, None).await?;
        tx.commit().await
    }

    /// Gives the image a name in its own scope, atomically taking it from the image that had it.
    pub async fn set_name(&self, id: &ImageId, name: &ImageName) -> Result<()> {
        let mut tx = self.db.begin().await?;
        // Against a deletion, which removes the names, at the same time.
        lock(&mut tx, id).await?;
        set_name(&mut tx, id, name).await?;
        tx.commit().await
    }

    /// Takes a name away; the image stays. `project` is the name's scope, `None` for shared ones.
    pub async fn remove_name(&self, project: Option<&ProjectId>, name: &ImageName) -> Result<()> {
        let remove = REMOVE_NAME
            .bind(owner(project))
            .bind(name.name())
            .bind(name.version());
        match self.db.execute(remove).await? {
            0 => Err(StoreError::not_found(Thing::ImageName, name.to_string())),
            _ => Ok(()),
        }
    }

    /// The image, whosever it is, also one that was withdrawn; `None` also where it was deleted.
    pub async fn get(&self, id: &ImageId) -> Result<Option<Image>> {
        let rows = self.db.few(GET.bind(id.as_str())).await?;
        Ok(to_images(&rows)?.pop())
    }

    /// What the name means for a project: its own image of that name, else the shared one.
    pub async fn resolve(&self, project: &ProjectId, name: &ImageName) -> Result<Option<Image>> {
        let resolve = RESOLVE
            .bind(project.as_str())
            .bind(name.name())
            .bind(name.version());
        let rows = self.db.few(resolve).await?;
        Ok(to_images(&rows)?.pop())
    }

    /// A project's own images and the shared ones.
    pub async fn list(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Image>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        let found = to_images(&rows)?.into_iter();
        let found = found.map(|image| (Cursor::new(image.created_at, image.id.as_str()), image));
        Ok(Page::cut(page, found.collect()))
    }

    /// Deletes the image and its names. Fails with [`StoreError::InUse`] while a live sandbox was
    /// made from it.
    pub async fn delete(&self, id: &ImageId, at: Time) -> Result<()> {
        let mut tx = self.db.begin().await?;
        lock(&mut tx, id).await?;
        if let Some(row) = tx.row(USER.bind(id.as_str())).await? {
            return Err(StoreError::InUse {
                thing: Thing::Image,
                id: id.to_string(),
                by: row.text("id")?,
            });
        }
        tx.execute(REMOVE_NAMES.bind(id.as_str())).await?;
        tx.execute(DELETE.bind(id.as_str()).bind(at)).await?;
        tx.commit().await
    }

    /// How many snapshots a project keeps.
    pub async fn count_snapshots(&self, project: &ProjectId) -> Result<u64> {
        let count = COUNT_SNAPSHOTS.bind(owner(Some(project)));
        match self.db.row(count).await? {
            Some(row) => row.number("number"),
            None => Ok(0),
        }
    }

    /// Every layer that an image still refers to; any other may be collected, unless an import
    /// that is under way is about to refer to it.
    pub async fn referenced_layers(&self) -> Result<HashSet<Digest>> {
        let rows = self.db.rows(LAYERS.query()).await?;
        let mut layers = HashSet::new();
        for row in &rows {
            layers.extend(row.json::<Vec<Digest>>("layers")?);
        }
        Ok(layers)
    }
}

/// Of an image that begins with another one's copy of a disk, that copy has to be some image's: it is
/// removed with the last.
pub(crate) async fn insert_in(tx: &mut Tx, image: &Image, step_key: Option<&str>) -> Result<()> {
    if let Some(disk) = image.disk()
        && *disk != image.id
        && tx.rows(LOCK_DISK.bind(disk.as_str())).await?.is_empty()
    {
        return Err(StoreError::not_found(Thing::Image, disk.as_str()));
    }
    let insert = INSERT
        .bind(image.id.as_str())
        .bind(owner(image.project.as_ref()))
        .bind(to_json(&image.source))
        .bind(to_json(&image.layers))
        .bind(to_json(&image.config))
        .bind(image.size_bytes)
        .bind(image.created_at)
        .bind(image.disk().map(|disk| disk.as_str()))
        .bind(step_key);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Image, image.id.as_str()))?;
    for name in &image.names {
        set_name(tx, &image.id, name).await?;
    }
    Ok(())
}

async fn lock(tx: &mut Tx, id: &ImageId) -> Result<()> {
    match tx.row(LOCK.bind(id.as_str())).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::not_found(Thing::Image, id.as_str())),
    }
}

async fn set_name(tx: &mut Tx, id: &ImageId, name: &ImageName) -> Result<()> {
    let set = NAME
        .bind(id.as_str())
        .bind(name.name())
        .bind(name.version());
    tx.execute(set).await?;
    Ok(())
}

/// Folds the rows of one image, which follow each other, into one.
fn to_images(rows: &[Row]) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for row in rows {
        let id: ImageId = row.parse("id")?;
        if images.last().is_none_or(|last| last.id != id) {
            images.push(to_image(id, row)?);
        }
        if let (Some(image), Some(name)) = (images.last_mut(), to_name(row)?) {
            image.names.push(name);
        }
    }
    Ok(images)
}

fn to_image(id: ImageId, row: &Row) -> Result<Image> {
    let scope = row.text("scope")?;
    Ok(Image {
        id,
        project: parse_owner(&scope).map_err(|e| StoreError::corrupt("scope", e))?,
        source: row.json("source")?,
        layers: row.json("layers")?,
        config: row.json("config")?,
        size_bytes: row.number("size_bytes")?,
        names: Vec::new(),
        created_at: row.time("created_at")?,
    })
}

fn to_name(row: &Row) -> Result<Option<ImageName>> {
    let (Some(name), Some(tag)) = (row.opt_text("name")?, row.opt_text("tag")?) else {
        return Ok(None);
    };
    let name = ImageName::from_parts(&name, &tag);
    name.map(Some).map_err(|e| StoreError::corrupt("name", e))
}
