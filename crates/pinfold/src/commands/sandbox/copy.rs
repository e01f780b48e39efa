//! `pinfold sandbox cp`: files and directories in and out, as `cp -r` would.

mod download;
mod tar_stream;
mod upload;

use anyhow::{Result, bail};
use clap::Args;
use pinfold_sdk::{Client, Files};

use crate::client::sandbox;
use crate::exit::Ending;

pub(crate) use tar_stream::directory as tar_of_directory;

#[derive(Debug, Args)]
#[command(
    after_help = "One of the two names a sandbox: SANDBOX:PATH. A directory is copied with \
                        everything in it. If the target is a directory, the copy gets its own \
                        name in there."
)]
pub(crate) struct CopyArgs {
    /// A path here, or SANDBOX:PATH
    #[arg(value_name = "SOURCE")]
    source: String,

    /// A path here, or SANDBOX:PATH
    #[arg(value_name = "TARGET")]
    target: String,
}

pub(super) async fn run(client: &Client, args: CopyArgs) -> Result<Ending> {
    match (inside(&args.source), inside(&args.target)) {
        (None, Some((name, path))) => {
            let files = files(client, name).await?;
            upload::copy(&files, args.source.as_ref(), path).await?;
        }
        (Some((name, path)), None) => {
            let files = files(client, name).await?;
            download::copy(&files, path, args.target.as_ref()).await?;
        }
        (None, None) => bail!("neither path is in a sandbox; write one as SANDBOX:PATH"),
        (Some(_), Some(_)) => bail!("both paths are in sandboxes; copy through a path here"),
    }
    Ok(Ending::Done)
}

async fn files(client: &Client, name: &str) -> Result<Files> {
    Ok(client.files(&sandbox(client, name).await?.id))
}

/// `SANDBOX:PATH`. A path here that holds a colon is written with a slash before it (`./a:b`).
fn inside(text: &str) -> Option<(&str, &str)> {
    let (name, path) = text.split_once(':')?;
    (!name.is_empty() && !name.contains('/'))
        .then_some((name, if path.is_empty() { "." } else { path }))
}

/// Joins with one slash.
fn below(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_any_slash_names_a_sandbox() {
        assert_eq!(inside("build:/a"), Some(("build", "/a")));
        assert_eq!(inside("build:"), Some(("build", ".")));
        assert_eq!(inside("./a:b"), None);
        assert_eq!(inside("/a:b"), None);
        assert_eq!(inside("a"), None);
    }
}
