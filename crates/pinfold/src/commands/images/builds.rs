//! `pinfold images builds`: what was built, and what is being built.

use anyhow::Result;
use clap::Args;
use futures::TryStreamExt;
use pinfold_sdk::ListBuilds;

use crate::cli::Global;
use crate::client;
use crate::output::{Format, or_dash, time};

#[derive(Debug, Args)]
pub(crate) struct BuildsArgs {
    /// Only builds of images of this name, without its tag
    #[arg(value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(global: &Global, args: BuildsArgs) -> Result<()> {
    let query = ListBuilds {
        name: args.name,
        ..ListBuilds::default()
    };
    let client = client::connect(global)?;
    let all: Vec<_> = client.builds().all(query).try_collect().await?;
    let columns = ["ID", "NAME", "STATE", "STEPS", "CACHED", "IMAGE", "CREATED"];
    args.format.list(&all, columns, |build| {
        [
            build.id.clone(),
            build.name.clone(),
            build.state.to_string(),
            build.step_count.to_string(),
            build.cached_count.to_string(),
            or_dash(build.image_id.as_ref()),
            time(&build.created_at),
        ]
    })
}
