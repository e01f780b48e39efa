//! What killed runs have left: found by the next run or server, and removed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pinfold_runtime::driver::clear;
use pinfold_runtime::namespace::{Disks, Subnet};

use super::scratch::Scratch;
use crate::compose;

/// Removes everything of dead runs below `runs`. What cannot be removed is logged and left for the
/// next.
pub(crate) async fn clean(runs: PathBuf) {
    if let Err(error) = clean_all(&runs).await {
        tracing::warn!(
            error = format!("{error:#}"),
            "remains of a killed run are left"
        );
    }
}

async fn clean_all(runs: &Path) -> Result<()> {
    let abandoned = Scratch::abandoned(runs)
        .with_context(|| format!("cannot look for killed runs in {}", runs.display()))?;
    for scratch in abandoned {
        let (directory, instance) = (scratch.sandboxes(), scratch.instance());
        let subnet = Subnet::default();
        let opening = move || compose::namespace_driver(directory, instance, Disks::Memory, subnet);
        let driver = tokio::task::spawn_blocking(opening).await??;
        clear(&driver).await?;
        drop(driver);
        scratch.remove()?;
    }
    Ok(())
}
