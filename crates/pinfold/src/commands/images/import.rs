//! `pinfold images import`: through the server, or straight into the data directory where none
//! runs.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use pinfold_engine::{EngineConfig, ImageImport, Share};
use pinfold_model::{Ctx, ImageName};
use pinfold_sdk::{Client, Upload};

use crate::cli::Global;
use crate::client;
use crate::commands::sandbox::tar_of_directory;
use crate::compose;
use crate::output::{byte_bar, line};
use crate::paths::DataDir;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The image's name: NAME or NAME:TAG
    #[arg(value_name = "NAME")]
    name: String,

    /// A tar of a root filesystem (plain, gzip, zstd), or an OCI layout as a directory or tar
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Which image of a layout that holds several: its reference name or digest
    #[arg(long, value_name = "IMAGE")]
    select: Option<String>,
}

pub(super) async fn run(global: &Global, args: ImportArgs) -> Result<()> {
    // Wrong names are told before gigabytes are sent.
    let name: ImageName = args.name.parse()?;
    let meta = std::fs::metadata(&args.path)
        .with_context(|| format!("cannot read {}", args.path.display()))?;
    if meta.is_dir() && !args.path.join("oci-layout").is_file() {
        bail!("{} is a directory but no OCI layout", args.path.display());
    }
    let id = match client::is_served(global).await? {
        true => upload(&client::connect(global)?, &args, meta.is_dir(), meta.len()).await?,
        false => directly(global, name, args).await?,
    };
    line(&id)
}

async fn upload(client: &Client, args: &ImportArgs, is_dir: bool, bytes: u64) -> Result<String> {
    let bar = byte_bar(&args.name, (!is_dir).then_some(bytes));
    let counted = bar.clone();
    let body = match is_dir {
        true => Upload::stream(tar_of_directory(args.path.clone())),
        false => Upload::file(&args.path).await?,
    };
    let body = body.on_progress(move |sent| show(&counted, sent));
    let image = client
        .images()
        .import(&args.name, body, args.select.as_deref())
        .await;
    bar.finish_and_clear();
    Ok(image?.id)
}

/// A whole source does not mean the end: it is unpacked behind that.
fn show(bar: &ProgressBar, sent: u64) {
    bar.set_position(sent);
    if bar.length() == Some(sent) {
        bar.set_message("unpacking");
    }
}

async fn directly(global: &Global, name: ImageName, args: ImportArgs) -> Result<String> {
    let data = DataDir::locate(global.data_dir.as_deref())?;
    let config = EngineConfig::default();
    let engine = compose::offline_engine(&data, global.database.as_deref(), config).await?;
    let ctx = Ctx::new(engine.system_principal());
    let bar = byte_bar(&name.to_string(), Some(0));
    let counted = bar.clone();
    let import = ImageImport {
        name,
        path: std::path::absolute(args.path)?,
        select: args.select,
        share: Share::Everyone,
    };
    let on_progress = Box::new(move |progress: pinfold_engine::ImageProgress| {
        if let Some(total) = progress.total_bytes {
            counted.set_length(total);
        }
        counted.set_position(progress.read_bytes);
        ControlFlow::Continue(())
    });
    let image = engine.import_image(&ctx, import, on_progress).await;
    bar.finish_and_clear();
    engine.shutdown(pinfold_engine::Drain::KeepSandboxes).await;
    Ok(image?.id.to_string())
}
