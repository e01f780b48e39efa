//! `pinfold images`: what sandboxes boot from.

mod build;
mod builds;
mod export;
mod import;
mod pull;

use anyhow::Result;
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use pinfold_sdk::Image;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{self, Format, bytes, or_dash, time};

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Those there are
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Everything about one
    Show(ShowArgs),
    /// Make one of a root filesystem's tar or an OCI layout; works without a server too
    Import(import::ImportArgs),
    /// Build one from a directory and its Dockerfile
    Build(Box<build::BuildArgs>),
    /// What was built, and what is being built
    Builds(builds::BuildsArgs),
    /// Pull one from a registry; works without a server too
    Pull(pull::PullArgs),
    /// Write one as an OCI layout, which container tools load
    Export(export::ExportArgs),
    /// Remove one
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name, name:tag or id
    #[arg(value_name = "IMAGE")]
    image: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name, name:tag or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) async fn run(global: &Global, command: ImagesCommand) -> Result<Ending> {
    match command {
        ImagesCommand::Ls(args) => list(global, args).await?,
        ImagesCommand::Show(args) => {
            let image = client::connect(global)?.images().get(&args.image).await?;
            args.format.one(&image, &facts(&image))?;
        }
        ImagesCommand::Import(args) => import::run(global, args).await?,
        ImagesCommand::Build(args) => return build::run(global, *args).await,
        ImagesCommand::Builds(args) => builds::run(global, args).await?,
        ImagesCommand::Pull(args) => pull::run(global, args).await?,
        ImagesCommand::Export(args) => export::run(global, args).await?,
        ImagesCommand::Rm(args) => {
            client::connect(global)?
                .images()
                .remove(&args.image)
                .await?;
            output::line(&args.image)?;
        }
    }
    Ok(Ending::Done)
}

async fn list(global: &Global, args: ListArgs) -> Result<()> {
    let all: Vec<_> = client::connect(global)?
        .images()
        .all()
        .try_collect()
        .await?;
    args.format.list(
        &all,
        ["NAMES", "ID", "SOURCE", "SIZE", "CREATED"],
        |image| {
            [
                image.names.join(", "),
                image.id.clone(),
                image.source.to_string(),
                bytes(image.size_bytes),
                time(&image.created_at),
            ]
        },
    )
}

pub(super) fn facts(image: &Image) -> Vec<(&'static str, String)> {
    vec![
        ("id", image.id.clone()),
        ("names", image.names.join(", ")),
        (
            "for",
            image
                .project_id
                .clone()
                .unwrap_or_else(|| "every project".to_owned()),
        ),
        ("source", image.source.to_string()),
        ("size", bytes(image.size_bytes)),
        ("reference", or_dash(image.reference.as_ref())),
        ("manifest", or_dash(image.manifest_digest.as_ref())),
        ("of build", or_dash(image.build_id.as_ref())),
        ("of sandbox", or_dash(image.sandbox_id.as_ref())),
        ("layers", image.layers.join(", ")),
        ("user", or_dash(image.config.user.as_ref())),
        ("workdir", or_dash(image.config.workdir.as_ref())),
        ("created", time(&image.created_at)),
    ]
}
