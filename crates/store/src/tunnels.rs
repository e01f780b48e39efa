//! Tunnels: addresses of every port of a sandbox, one for each sandbox.

use pinfold_model::{PreviewId, SandboxId, Time, Tunnel, TunnelKey};

use crate::db::{Db, Row, Sql, Tx, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::idempotency::Inserted;

/// Repository of tunnels.
#[derive(Debug, Clone, Copy)]
pub struct Tunnels<'a> {
    db: &'a Db,
}

macro_rules! select {
    () => {
        "SELECT t.id, t.tunnel_key, t.sandbox_id, t.project_id, t.spec, t.created_at, \
             s.ended_at AS sandbox_ended_at \
         FROM tunnels t JOIN sandboxes s ON s.id = t.sandbox_id "
    };
}

statements! {
    // As for previews: creations of one sandbox queue up, and none comes behind its end.
    LOCK_SANDBOX = Sql::split(
        "SELECT live FROM sandboxes WHERE id = $1",
        "SELECT live FROM sandboxes WHERE id = $1 FOR NO KEY UPDATE",
    );
    OF_SANDBOX = Sql::both(concat!(select!(), "WHERE t.sandbox_id = $1"));
    BY_KEY = Sql::both(concat!(select!(), "WHERE t.tunnel_key = $1"));
    // $1: a JSON array of ids.
    OF_SANDBOXES = Sql::split(
        concat!(select!(), "WHERE t.sandbox_id IN (SELECT value FROM json_each($1))"),
        concat!(
            select!(),
            "WHERE t.sandbox_id IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb)))"
        ),
    );
    INSERT = Sql::both(
        "INSERT INTO tunnels (sandbox_id, id, tunnel_key, project_id, spec, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    DELETE = Sql::both("DELETE FROM tunnels WHERE sandbox_id = $1 AND id = $2");
    PURGE = Sql::both(
        // From these few: sandboxes are never deleted.
        "DELETE FROM tunnels WHERE EXISTS \
             (SELECT 1 FROM sandboxes s \
              WHERE s.id = tunnels.sandbox_id AND s.live = 0 AND s.ended_at <= $1)",
    );
}

impl<'a> Tunnels<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Records a new tunnel, or answers with the one that its sandbox has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a sandbox that has ended or never was. After an error nothing is
    /// recorded.
    pub async fn insert(&self, tunnel: &Tunnel) -> Result<Inserted<Tunnel>> {
        let mut tx = self.db.begin().await?;
        let inserted = insert(&mut tx, tunnel).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// That of a sandbox, also where that has ended.
    pub async fn of(&self, sandbox: &SandboxId) -> Result<Option<Tunnel>> {
        let row = self.db.row(OF_SANDBOX.bind(sandbox.as_str())).await?;
        row.as_ref().map(to_tunnel).transpose()
    }

    /// Those of some sandboxes, in no order.
    pub async fn of_all(&self, sandboxes: &[&SandboxId]) -> Result<Vec<Tunnel>> {
        let ids: Vec<_> = sandboxes.iter().map(|id| id.as_str()).collect();
        let rows = self.db.rows(OF_SANDBOXES.bind(to_json(&ids))).await?;
        rows.iter().map(to_tunnel).collect()
    }

    /// Also one whose sandbox has ended.
    pub async fn by_key(&self, key: &TunnelKey) -> Result<Option<Tunnel>> {
        let row = self.db.row(BY_KEY.bind(key.as_str())).await?;
        row.as_ref().map(to_tunnel).transpose()
    }

    /// Forgets it; answers whether it was there. Another one that the sandbox has got meanwhile stays.
    pub async fn delete(&self, sandbox: &SandboxId, id: &PreviewId) -> Result<bool> {
        let delete = DELETE.bind(sandbox.as_str()).bind(id.as_str());
        Ok(self.db.execute(delete).await? > 0)
    }

    /// Forgets those of sandboxes that ended by then; answers how many.
    pub async fn purge(&self, ended_by: Time) -> Result<u64> {
        self.db.execute_slowly(PURGE.bind(ended_by)).await
    }
}

async fn insert(tx: &mut Tx, tunnel: &Tunnel) -> Result<Inserted<Tunnel>> {
    let sandbox = tunnel.sandbox.as_str();
    let row = tx.row(LOCK_SANDBOX.bind(sandbox)).await?;
    if !matches!(row.map(|row| row.int("live")).transpose()?, Some(1)) {
        return Err(StoreError::not_found(Thing::Sandbox, sandbox));
    }
    if let Some(row) = tx.row(OF_SANDBOX.bind(sandbox)).await? {
        return Ok(Inserted::Replay(to_tunnel(&row)?));
    }
    insert_row(tx, tunnel).await?;
    Ok(Inserted::New(tunnel.clone()))
}

/// For a sandbox that is recorded in the same transaction.
pub(crate) async fn insert_row(tx: &mut Tx, tunnel: &Tunnel) -> Result<()> {
    let insert = INSERT
        .bind(tunnel.sandbox.as_str())
        .bind(tunnel.id.as_str())
        .bind(tunnel.key.as_str())
        .bind(tunnel.project.as_str())
        .bind(to_json(&tunnel.spec))
        .bind(tunnel.created_at);
    let done = tx.execute(insert).await;
    done.map_err(|e| e.on_unique(Thing::Preview, tunnel.id.as_str()))?;
    Ok(())
}

fn to_tunnel(row: &Row) -> Result<Tunnel> {
    Ok(Tunnel {
        id: row.parse("id")?,
        key: row.parse("tunnel_key")?,
        sandbox: row.parse("sandbox_id")?,
        project: row.parse("project_id")?,
        spec: row.json("spec")?,
        created_at: row.time("created_at")?,
        sandbox_ended_at: row.opt_time("sandbox_ended_at")?,
    })
}
