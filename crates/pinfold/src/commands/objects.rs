//! `pinfold objects`: named blobs that outlive their sandbox.

mod get;
mod put;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt;
use pinfold_sdk::{Client, LinkUse, ListObjects, Object};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{self, Format, bytes, or_dash, time};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum ObjectsCommand {
    /// Those there are, newest first
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Make one of a local file, of stdin, or of a file in a sandbox
    Put(put::PutArgs),
    /// Save the content of one in a local file, or write it to stdout
    Get(get::GetArgs),
    /// Delete some; their facts stay
    Rm(RemoveArgs),
    /// Everything about one
    Show(ShowArgs),
    /// A URL that downloads (or uploads) one without a key
    Url(UrlArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Deleted ones as well
    #[arg(long, short)]
    all: bool,

    /// Only those with exactly this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Only those that were copied from this sandbox
    #[arg(long, value_name = "SANDBOX")]
    sandbox: Option<String>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its id
    #[arg(value_name = "OBJECT")]
    object: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Their ids
    #[arg(value_name = "OBJECT", required = true)]
    objects: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UrlArgs {
    /// Its id
    #[arg(value_name = "OBJECT")]
    object: String,

    /// What the URL is for
    #[arg(
        long = "for",
        value_name = "USE",
        value_enum,
        default_value = "download"
    )]
    link_use: Use,

    /// How long it is valid, up to 7d [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires_in: Option<Duration>,

    /// As JSON, with every field
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Use {
    /// GET, any number of times
    Download,
    /// PUT, while the object is being uploaded
    Upload,
}

pub(crate) async fn run(global: &Global, command: ObjectsCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        ObjectsCommand::Ls(args) => list(&client, args).await?,
        ObjectsCommand::Put(args) => put::run(&client, args).await?,
        ObjectsCommand::Get(args) => get::run(&client, args).await?,
        ObjectsCommand::Rm(args) => {
            for object in &args.objects {
                client.objects().delete(object).await?;
                output::line(object)?;
            }
        }
        ObjectsCommand::Show(args) => {
            let object = client.objects().get(&args.object).await?;
            args.format.one(&object, &facts(&object))?;
        }
        ObjectsCommand::Url(args) => url(&client, args).await?,
    }
    Ok(Ending::Done)
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let sandbox_id = match args.sandbox {
        Some(name) => Some(client::sandbox(client, &name).await?.id),
        None => None,
    };
    let query = ListObjects {
        include_deleted: args.all.then_some(true),
        name: args.name,
        sandbox_id,
        ..ListObjects::default()
    };
    let all: Vec<Object> = client.objects().all(query).try_collect().await?;
    args.format.list(
        &all,
        ["ID", "NAME", "STATE", "SIZE", "TYPE", "CREATED"],
        |object| {
            [
                object.id.clone(),
                object.name.clone(),
                object.state.to_string(),
                object.size_bytes.map_or_else(|| "-".to_owned(), bytes),
                object.content_type.clone(),
                time(&object.created_at),
            ]
        },
    )
}

async fn url(client: &Client, args: UrlArgs) -> Result<()> {
    let link_use = match args.link_use {
        Use::Download => LinkUse::Download,
        Use::Upload => LinkUse::Upload,
    };
    let signed = client
        .objects()
        .url(&args.object, link_use, args.expires_in)
        .await?;
    if args.json {
        return output::json(&signed);
    }
    output::line(&signed.url)
}

fn facts(object: &Object) -> Vec<(&str, String)> {
    let at = |at: &Option<String>| at.as_deref().map_or_else(|| "-".to_owned(), time);
    let mut facts = vec![
        ("id", object.id.clone()),
        ("name", object.name.clone()),
        ("state", object.state.to_string()),
        ("type", object.content_type.clone()),
        (
            "size",
            object.size_bytes.map_or_else(|| "-".to_owned(), bytes),
        ),
        ("digest", or_dash(object.digest.as_ref())),
        ("sandbox", or_dash(object.sandbox_id.as_ref())),
        ("path", or_dash(object.path.as_ref())),
        ("created", time(&object.created_at)),
        ("sealed", at(&object.sealed_at)),
        ("deleted", at(&object.deleted_at)),
        ("expires", at(&object.expires_at)),
    ];
    for (key, value) in &object.metadata {
        facts.push(("metadata", format!("{key}={value}")));
    }
    facts
}
