//! `pinfold preview`: addresses outside that reach a port inside.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt;
use pinfold_sdk::{Client, CreatePreview, ListPreviews, Preview, PreviewAccess};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{self, Format, or_dash, remark, time};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum PreviewCommand {
    /// Make one of a port, and print its address
    Create(CreateArgs),
    /// Those of a sandbox
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Everything about one
    Show(ShowArgs),
    /// A link that opens one in a browser, once
    Link(LinkArgs),
    /// End one at once, open connections too
    #[command(visible_alias = "revoke")]
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// The port inside
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// What opens it
    #[arg(long, value_enum, default_value = "authenticated")]
    access: Access,

    /// How long it is there, such as 2h [default: as long as the sandbox]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Access {
    /// A key that may use the sandbox
    Authenticated,
    /// A token of its own, printed once
    Token,
    /// Nothing: whoever knows the address
    Public,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Those that have ended too
    #[arg(long, short)]
    all: bool,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its id
    #[arg(value_name = "PREVIEW")]
    preview: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// Its id
    #[arg(value_name = "PREVIEW")]
    preview: String,

    /// How long the link may stay unused [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its id
    #[arg(value_name = "PREVIEW")]
    preview: String,
}

pub(crate) async fn run(global: &Global, command: PreviewCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    let previews = client.previews();
    match command {
        PreviewCommand::Create(args) => create(&client, args).await?,
        PreviewCommand::Ls(args) => list(&client, args).await?,
        PreviewCommand::Show(args) => {
            let preview = previews.get(&args.preview).await?;
            args.format.one(&preview, &facts(&preview))?;
        }
        PreviewCommand::Link(args) => {
            let link = previews.link(&args.preview, args.expires).await?;
            if args.format.json {
                output::json(&link)?;
            } else {
                output::line(&link.url)?;
                remark(&format!("opens once, until {}", time(&link.expires_at)));
            }
        }
        PreviewCommand::Rm(args) => {
            output::line(&previews.revoke(&args.preview).await?.id)?;
        }
    }
    Ok(Ending::Done)
}

async fn create(client: &Client, args: CreateArgs) -> Result<()> {
    let sandbox = client::sandbox(client, &args.sandbox).await?;
    let request = CreatePreview {
        port: args.port.into(),
        access: Some(match args.access {
            Access::Authenticated => PreviewAccess::Authenticated,
            Access::Token => PreviewAccess::Token,
            Access::Public => PreviewAccess::Public,
        }),
        expires_in_ms: args.expires.map(values::milliseconds),
    };
    let created = client.previews().create(&sandbox.id, &request).await?;
    if args.format.json {
        return output::json(&created);
    }
    output::line(&created.preview.url)?;
    remark(&format!(
        "{} of port {}",
        created.preview.id, created.preview.port
    ));
    if let Some(token) = created.token {
        remark(&format!("token {token}; it is not shown again"));
    }
    Ok(())
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let sandbox = client::sandbox(client, &args.sandbox).await?;
    let query = ListPreviews {
        active: (!args.all).then_some(true),
        ..ListPreviews::default()
    };
    let previews = client.previews().all(&sandbox.id, query);
    let all: Vec<Preview> = previews.try_collect().await?;
    let columns = ["ID", "PORT", "ACCESS", "STATE", "EXPIRES", "URL"];
    args.format.list(&all, columns, |preview| {
        [
            preview.id.clone(),
            preview.port.to_string(),
            preview.access.to_string(),
            preview.state.to_string(),
            preview
                .expires_at
                .as_deref()
                .map_or_else(|| "-".to_owned(), time),
            preview.url.clone(),
        ]
    })
}

fn facts(preview: &Preview) -> Vec<(&'static str, String)> {
    let at = |text: &Option<String>| or_dash(text.as_deref().map(time).as_ref());
    vec![
        ("id", preview.id.clone()),
        ("url", preview.url.clone()),
        ("sandbox", preview.sandbox_id.clone()),
        ("port", preview.port.to_string()),
        ("access", preview.access.to_string()),
        ("state", preview.state.to_string()),
        ("created", time(&preview.created_at)),
        ("expires", at(&preview.expires_at)),
        ("revoked", at(&preview.revoked_at)),
    ]
}
