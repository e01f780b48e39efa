//! The entry point: opens a database and hands out the repositories.

use std::path::Path;

use crate::db::Db;
use crate::error::Result;
use crate::{
    Audit, Axons, Builds, CodeContexts, Commands, Gateways, IdempotencyKeys, Images, Keys,
    NetworkPolicies, Objects, PipelineRuns, Previews, Projects, Sandboxes, Secrets, Settings,
    Snapshots, SshKeys, Templates, Terminals, Tunnels, Usage, statements,
};

/// A database with an up-to-date schema. Cheap to clone; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Opens or makes the SQLite file at `path` (mode 0600) in an existing directory.
    pub async fn open_sqlite(path: &Path) -> Result<Self> {
        let db = Db::open_sqlite(path).await?;
        Ok(Self { db })
    }

    /// An SQLite database of its own in memory, gone with the last clone of this store.
    #[expect(clippy::unused_async, reason = "as the other ways to open one")]
    pub async fn in_memory() -> Result<Self> {
        let db = Db::in_memory()?;
        Ok(Self { db })
    }

    /// Connects to PostgreSQL 13 or newer: `postgres://user:password@host/database`.
    pub async fn connect_postgres(url: &str) -> Result<Self> {
        let db = Db::connect_postgres(url).await?;
        Ok(Self { db })
    }

    #[must_use]
    pub fn projects(&self) -> Projects<'_> {
        Projects::new(&self.db)
    }

    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(&self.db)
    }

    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        Settings::new(&self.db)
    }

    #[must_use]
    pub fn sandboxes(&self) -> Sandboxes<'_> {
        Sandboxes::new(&self.db)
    }

    #[must_use]
    pub fn commands(&self) -> Commands<'_> {
        Commands::new(&self.db)
    }

    #[must_use]
    pub fn code_contexts(&self) -> CodeContexts<'_> {
        CodeContexts::new(&self.db)
    }

    #[must_use]
    pub fn idempotency(&self) -> IdempotencyKeys<'_> {
        IdempotencyKeys::new(&self.db)
    }

    #[must_use]
    pub fn images(&self) -> Images<'_> {
        Images::new(&self.db)
    }

    #[must_use]
    pub fn templates(&self) -> Templates<'_> {
        Templates::new(&self.db)
    }

    #[must_use]
    pub fn previews(&self) -> Previews<'_> {
        Previews::new(&self.db)
    }

    #[must_use]
    pub fn tunnels(&self) -> Tunnels<'_> {
        Tunnels::new(&self.db)
    }

    #[must_use]
    pub fn terminals(&self) -> Terminals<'_> {
        Terminals::new(&self.db)
    }

    #[must_use]
    pub fn objects(&self) -> Objects<'_> {
        Objects::new(&self.db)
    }

    #[must_use]
    pub fn usage(&self) -> Usage<'_> {
        Usage::new(&self.db)
    }

    #[must_use]
    pub fn pipeline_runs(&self) -> PipelineRuns<'_> {
        PipelineRuns::new(&self.db)
    }

    #[must_use]
    pub fn builds(&self) -> Builds<'_> {
        Builds::new(&self.db)
    }

    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets::new(&self.db)
    }

    #[must_use]
    pub fn network_policies(&self) -> NetworkPolicies<'_> {
        NetworkPolicies::new(&self.db)
    }

    #[must_use]
    pub fn axons(&self) -> Axons<'_> {
        Axons::new(&self.db)
    }

    #[must_use]
    pub fn gateways(&self) -> Gateways<'_> {
        Gateways::new(&self.db)
    }

    #[must_use]
    pub fn ssh_keys(&self) -> SshKeys<'_> {
        SshKeys::new(&self.db)
    }

    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots::new(&self.db)
    }

    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit::new(&self.db)
    }

    /// Prepares every statement of this crate against the schema as it is, so that a mismatch is
    /// found here and not at first use. Answers how many there are.
    pub async fn check_statements(&self) -> Result<usize> {
        let mut count = 0;
        for &sql in statements::all() {
            self.db.prepare(sql).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Closes every connection once the work in flight is done; later calls fail. SQLite folds its
    /// write-ahead log into the file.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
