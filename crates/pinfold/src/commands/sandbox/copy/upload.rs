//! From here into a sandbox.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pinfold_sdk::{ErrorCode, FileKind, Files, Upload, WriteOptions};

use super::{below, tar_of_directory};
use crate::output::byte_bar;

pub(super) async fn copy(files: &Files, source: &Path, target: &str) -> Result<()> {
    let meta =
        std::fs::metadata(source).with_context(|| format!("cannot read {}", source.display()))?;
    let target = resolved(files, source, target).await?;
    if meta.is_dir() {
        return directory(files, source, &target).await;
    }
    if !meta.is_file() {
        bail!("{} is neither a file nor a directory", source.display());
    }
    let bar = byte_bar(&target, Some(meta.len()));
    let counted = bar.clone();
    let body = Upload::file(source)
        .await?
        .on_progress(move |sent| counted.set_position(sent));
    let options = WriteOptions {
        mode: Some(meta.permissions().mode() & 0o777),
        parents: true,
    };
    files.write(&target, body, &options).await?;
    bar.finish_and_clear();
    Ok(())
}

async fn directory(files: &Files, source: &Path, target: &str) -> Result<()> {
    let bar = byte_bar(target, None);
    let counted = bar.clone();
    let body = Upload::stream(tar_of_directory(source.to_owned()))
        .on_progress(move |sent| counted.set_position(sent));
    files.unpack(target, body).await?;
    bar.finish_and_clear();
    Ok(())
}

/// The path itself, or the source's name in it where it is a directory already.
async fn resolved(files: &Files, source: &Path, target: &str) -> Result<String> {
    match files.stat(target).await {
        Ok(entry) if entry.kind == FileKind::Directory => {
            let absolute = std::path::absolute(source)?;
            match absolute.file_name().and_then(|name| name.to_str()) {
                // `cp dir/. box:/there` copies what is in it, as cp does.
                _ if source.as_os_str().as_encoded_bytes().ends_with(b"/.") => {
                    Ok(target.to_owned())
                }
                Some(name) => Ok(below(target, name)),
                None => bail!("{} has no name that a sandbox could use", source.display()),
            }
        }
        Ok(_) => Ok(target.to_owned()),
        Err(error) if error.code() == Some(ErrorCode::FileNotFound) => Ok(target.to_owned()),
        Err(error) => Err(error.into()),
    }
}
