//! What comes from a server, into a file or to stdout.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pinfold_sdk::ByteStream;

/// Refuses a file that is there, before anything is asked for.
pub(crate) fn check(target: &Path, force: bool) -> Result<()> {
    if target.exists() && !force {
        bail!("{} exists; replace it with --force", target.display());
    }
    Ok(())
}

/// Complete under its name, or not there.
pub(crate) async fn save(stream: ByteStream, target: &Path) -> Result<()> {
    save_as(stream, target, |_| Ok(())).await
}

/// The same; `dress` is done to the file before it gets its name.
pub(crate) async fn save_as(
    stream: ByteStream,
    target: &Path,
    dress: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<()> {
    let mut part = target.as_os_str().to_owned();
    part.push(format!(".pinfold-{}", std::process::id()));
    let part = PathBuf::from(part);
    let total = stream.total_bytes();
    let saved = stream.save(&part).await.map_err(anyhow::Error::from);
    let saved = saved.and_then(|count| {
        if total.is_some_and(|total| total != count) {
            bail!("only {count} bytes came; try again");
        }
        let placed = dress(&part).and_then(|()| std::fs::rename(&part, target));
        placed.with_context(|| format!("cannot write {}", target.display()))
    });
    if saved.is_err() {
        // What is left of a failed download is of no use to anybody.
        let _ = std::fs::remove_file(&part);
    }
    saved
}

pub(crate) async fn to_stdout(mut stream: ByteStream) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    while let Some(piece) = stream.chunk().await? {
        stdout.write_all(&piece)?;
    }
    Ok(stdout.flush()?)
}
