//! `pinfold sandbox snapshot`.

use anyhow::Result;
use clap::Args;
use pinfold_sdk::{Client, TakeSnapshot};

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{self, Format};
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// What to call the image [default: it has an id only]
    #[arg(long, value_name = "NAME[:TAG]")]
    name: Option<String>,

    /// Something to remember about it
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    label: Vec<(String, String)>,

    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(client: &Client, args: SnapshotArgs) -> Result<Ending> {
    let sandbox = sandbox(client, &args.sandbox).await?;
    let request = TakeSnapshot {
        name: args.name,
        labels: args.label.into_iter().collect(),
    };
    let image = client.sandboxes().snapshot(&sandbox.id, &request).await?;
    if args.format.json {
        output::json(&image)?;
    } else {
        output::line(&image.id)?;
    }
    Ok(Ending::Done)
}
