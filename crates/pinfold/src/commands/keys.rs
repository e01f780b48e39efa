//! `pinfold keys`: API keys. Making one works without a server too, on the data directory.

mod create;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use pinfold_model::KeyId;
use pinfold_sdk::{Client, Key, QuotaChange, UpdateKey};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{self, Format, time};
use crate::quota::{Bounds, shown};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make one, and print its secret once
    Create(create::CreateArgs),
    /// Those there are
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show or change what the sandboxes that one makes may hold
    Quota(QuotaArgs),
    /// End one at once and for good
    #[command(visible_alias = "revoke")]
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Its id, or a name that only one has
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its id, or a name that only one has
    #[arg(value_name = "KEY")]
    key: String,
}

pub(crate) async fn run(global: &Global, command: KeysCommand) -> Result<Ending> {
    match command {
        KeysCommand::Create(args) => create::run(global, args).await?,
        KeysCommand::Ls(args) => list(&client::connect(global)?, args).await?,
        KeysCommand::Quota(args) => quota(&client::connect(global)?, args).await?,
        KeysCommand::Rm(args) => revoke(&client::connect(global)?, &args.key).await?,
    }
    Ok(Ending::Done)
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let all: Vec<_> = client.keys().all().try_collect().await?;
    let columns = ["ID", "NAME", "ROLE", "KIND", "SECRET", "STATE", "LAST USED"];
    args.format.list(&all, columns, |key| {
        [
            key.id.clone(),
            key.name.clone(),
            key.role.to_string(),
            key.kind.to_string(),
            format!("{}...", key.prefix),
            state(key),
            key.last_used_at
                .as_deref()
                .map_or_else(|| "never".to_owned(), time),
        ]
    })
}

fn state(key: &Key) -> String {
    match (&key.revoked_at, &key.expires_at) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(at)) => format!("until {}", time(at)),
        (None, None) => "valid".to_owned(),
    }
}

async fn quota(client: &Client, args: QuotaArgs) -> Result<()> {
    let mut key = by_name(client, &args.key).await?;
    let quota = QuotaChange::from(args.bounds);
    if !quota.is_empty() {
        let change = UpdateKey { quota };
        key = client.keys().update(&key.id, &change).await?;
    }
    let mut facts = vec![("id", key.id.clone()), ("name", key.name.clone())];
    facts.extend(shown(key.quota));
    args.format.one(&key, &facts)
}

async fn revoke(client: &Client, name: &str) -> Result<()> {
    let id = match name.parse::<KeyId>().is_ok() {
        true => name.to_owned(),
        false => by_name(client, name).await?.id,
    };
    output::line(&client.keys().revoke(&id).await?.id)
}

/// A key by id, or a valid one by a name that only one has.
async fn by_name(client: &Client, name: &str) -> Result<Key> {
    let by_id = name.parse::<KeyId>().is_ok();
    let wanted = move |key: &Key| {
        let named = key.name == name && key.revoked_at.is_none();
        std::future::ready(if by_id { key.id == name } else { named })
    };
    let found: Vec<Key> = client.keys().all().try_filter(wanted).try_collect().await?;
    match <[Key; 1]>::try_from(found) {
        Ok([key]) => Ok(key),
        Err(none) if none.is_empty() => bail!("no valid key is named {name:?}"),
        Err(several) => bail!("{} keys are named {name:?}; use an id", several.len()),
    }
}
