//! Which content the object storage holds for objects: one row for each digest.

use std::collections::HashSet;

use pinfold_model::{BlobId, Digest, Time};

use crate::db::{Db, Sql, Tx, statements};
use crate::error::{Result, StoreError};

/// Bytes that were put into the object storage under an id of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub blob: BlobId,
    pub digest: Digest,
    pub size_bytes: u64,
    pub at: Time,
}

statements! {
    // The update changes nothing. It locks the row, so that nobody can give it up before this
    // transaction refers to it, and makes RETURNING answer the row that is there.
    KEEP = Sql::both(
        "INSERT INTO blobs (id, digest, size_bytes, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest \
         RETURNING id",
    );
    LOCK = Sql::split(
        "SELECT id FROM blobs WHERE id = $1",
        "SELECT id FROM blobs WHERE id = $1 FOR UPDATE",
    );
    USER = Sql::both("SELECT id FROM objects WHERE blob_id = $1 LIMIT 1");
    FORGET = Sql::both("DELETE FROM blobs WHERE id = $1");
    UNREFERENCED = Sql::both(
        "SELECT id FROM blobs \
         WHERE NOT EXISTS (SELECT 1 FROM objects WHERE objects.blob_id = blobs.id) LIMIT $1",
    );
    BETWEEN = Sql::both("SELECT id FROM blobs WHERE id >= $1 AND id <= $2");
}

/// Records the content; answers the id under which it is kept, another one where equal content was
/// there before.
pub(super) async fn keep(tx: &mut Tx, content: &Content) -> Result<BlobId> {
    let keep = KEEP
        .bind(content.blob.as_str())
        .bind(content.digest.as_str())
        .bind(content.size_bytes)
        .bind(content.at);
    match tx.row(keep).await? {
        Some(row) => row.parse("id"),
        None => Err(StoreError::corrupt("id", "an upsert made no row")),
    }
}

pub(super) async fn release(tx: &mut Tx, blob: &BlobId) -> Result<bool> {
    if tx.row(LOCK.bind(blob.as_str())).await?.is_none() {
        return Ok(false);
    }
    if tx.row(USER.bind(blob.as_str())).await?.is_some() {
        return Ok(false);
    }
    tx.execute(FORGET.bind(blob.as_str())).await?;
    Ok(true)
}

pub(super) async fn unreferenced(db: &Db, limit: u32) -> Result<Vec<BlobId>> {
    let rows = db.rows(UNREFERENCED.bind(limit)).await?;
    rows.iter().map(|row| row.parse("id")).collect()
}

pub(super) async fn known(db: &Db, blobs: &[BlobId]) -> Result<HashSet<BlobId>> {
    let (Some(first), Some(last)) = (blobs.first(), blobs.last()) else {
        return Ok(HashSet::new());
    };
    let between = BETWEEN.bind(first.as_str()).bind(last.as_str());
    let rows = db.rows(between).await?;
    rows.iter().map(|row| row.parse("id")).collect()
}
