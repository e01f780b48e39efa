//! Changes of a sandbox's life: suspend, resume, stop, start, extend, rm.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use pinfold_sdk::{Client, Sandbox};

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{self, Format};
use crate::values;

use super::facts;

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// How long it lives from now, such as 2h
    #[arg(value_name = "TIME", value_parser = values::duration)]
    ttl: Duration,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Names or ids
    #[arg(value_name = "SANDBOX", required = true)]
    sandboxes: Vec<String>,
}

pub(super) async fn suspend(client: &Client, args: ChangeArgs) -> Result<Ending> {
    changed(client, args, async |id| {
        client.sandboxes().suspend(&id).await
    })
    .await
}

pub(super) async fn resume(client: &Client, args: ChangeArgs) -> Result<Ending> {
    changed(client, args, async |id| {
        client.sandboxes().resume(&id).await
    })
    .await
}

pub(super) async fn stop(client: &Client, args: ChangeArgs) -> Result<Ending> {
    changed(client, args, async |id| client.sandboxes().stop(&id).await).await
}

pub(super) async fn start(client: &Client, args: ChangeArgs) -> Result<Ending> {
    changed(client, args, async |id| client.sandboxes().start(&id).await).await
}

pub(super) async fn extend(client: &Client, args: ExtendArgs) -> Result<Ending> {
    let ExtendArgs {
        sandbox,
        ttl,
        format,
    } = args;
    let args = ChangeArgs { sandbox, format };
    changed(client, args, async |id| {
        client.sandboxes().extend(&id, ttl).await
    })
    .await
}

async fn changed<F>(
    client: &Client,
    args: ChangeArgs,
    change: impl FnOnce(String) -> F,
) -> Result<Ending>
where
    F: Future<Output = pinfold_sdk::Result<Sandbox>>,
{
    let sandbox = sandbox(client, &args.sandbox).await?;
    let changed = change(sandbox.id).await?;
    args.format.one(&changed, &facts(&changed))?;
    Ok(Ending::Done)
}

/// All that can be removed are, whatever happens to the others.
pub(super) async fn remove(client: &Client, args: RemoveArgs) -> Result<Ending> {
    let mut ending = Ending::Done;
    for name in &args.sandboxes {
        match removed(client, name).await {
            Ok(removed) => output::line(&removed.id)?,
            Err(error) => {
                output::complain(&error);
                ending = Ending::Failed;
            }
        }
    }
    Ok(ending)
}

async fn removed(client: &Client, name: &str) -> Result<Sandbox> {
    let sandbox = sandbox(client, name).await?;
    Ok(client.sandboxes().destroy(&sandbox.id).await?)
}
