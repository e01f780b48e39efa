//! Copies of disks: snapshots that boots begin with, and forks.

use std::io;
use std::sync::Arc;

use pinfold_model::{ImageId, Resources, SandboxId};
use pinfold_sys::btrfs::Access;

use super::{Inner, etc, step};
use crate::driver::{DriverError, Moment, SnapshotTree};

impl Inner {
    pub(super) fn check_copy(&self) -> Result<(), DriverError> {
        if self.disks.keeps() {
            return Ok(());
        }
        Err(DriverError::Unsupported(
            "disks are kept in memory on this host, so they cannot be copied".to_owned(),
        ))
    }

    pub(super) async fn snapshot(
        self: &Arc<Self>,
        id: &SandboxId,
        snapshot: &ImageId,
        moment: Moment,
        limits: &Resources,
    ) -> Result<(), DriverError> {
        self.copy(id, snapshot.as_str(), Access::ReadOnly, moment, limits)
            .await
    }

    pub(super) async fn fork(
        self: &Arc<Self>,
        id: &SandboxId,
        fork: &SandboxId,
        moment: Moment,
        limits: &Resources,
    ) -> Result<(), DriverError> {
        // What is still removed behind a destroy of that id would take the new disk along.
        self.teardown.over(fork).await;
        self.copy(id, fork.as_str(), Access::Writable, moment, limits)
            .await
    }

    async fn copy(
        self: &Arc<Self>,
        id: &SandboxId,
        name: &str,
        access: Access,
        moment: Moment,
        limits: &Resources,
    ) -> Result<(), DriverError> {
        self.check_copy()?;
        // The copy writes out what is left; most of it now, while the sandbox still runs.
        self.blocking(|inner| inner.disks.flush())
            .await
            .map_err(step("flush the pool"))?;
        if moment == Moment::Frozen
            && let Err(error) = self.set_frozen(id, true).await
        {
            // Some of its processes may be.
            let _ = self.set_frozen(id, false).await;
            return Err(error);
        }
        let (from, name, limits) = (id.to_string(), name.to_owned(), *limits);
        let copied = self
            .blocking(move |inner| inner.disks.copy(&from, &name, access, &limits))
            .await;
        if moment == Moment::Frozen {
            self.set_frozen(id, false).await?;
        }
        copied.map_err(step("copy the disk"))
    }

    pub(super) async fn snapshots(self: &Arc<Self>) -> Result<Vec<ImageId>, DriverError> {
        self.blocking(|inner| inner.disks.snapshots())
            .await
            .map_err(step("list snapshots"))
    }

    pub(super) async fn snapshot_tree(
        self: &Arc<Self>,
        snapshot: &ImageId,
    ) -> Result<SnapshotTree, DriverError> {
        self.check_copy()?;
        let name = snapshot.to_string();
        let path = self.blocking(move |inner| inner.disks.tree(&name)).await;
        Ok(SnapshotTree {
            path: path.map_err(step("find the snapshot"))?,
            own: etc::PATHS.map(str::to_owned).into(),
        })
    }

    pub(super) async fn remove_snapshot(
        self: &Arc<Self>,
        snapshot: &ImageId,
    ) -> Result<(), DriverError> {
        let name = snapshot.to_string();
        self.blocking(move |inner| inner.disks.remove(&name))
            .await
            .map_err(step("remove the snapshot"))
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(io::Error::other)?
    }
}
