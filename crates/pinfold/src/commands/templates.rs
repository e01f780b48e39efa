//! `pinfold templates`: named recipes for sandboxes.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use pinfold_sdk::{Client, PageQuery, PutTemplate, Template};

use crate::cli::Global;
use crate::client;
use crate::commands::run::{NetworkArgs, environment};
use crate::commands::sandbox::{mode, policy};
use crate::exit::Ending;
use crate::output::{self, Format, bytes, or_dash, time};
use crate::values::{self, Variable};

#[derive(Debug, Subcommand)]
pub(crate) enum TemplatesCommand {
    /// The latest version of each
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Everything about one
    Show(ShowArgs),
    /// Every version of one, newest first
    Versions(VersionsArgs),
    /// Make one, or the next version of one
    Set(Box<SetArgs>),
    /// Remove one with all its versions; sandboxes made from it live on
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its name or id, or the id of one version
    #[arg(value_name = "TEMPLATE")]
    template: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct VersionsArgs {
    /// Its name or id
    #[arg(value_name = "TEMPLATE")]
    template: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its name
    #[arg(value_name = "TEMPLATE")]
    template: String,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Its name
    #[arg(value_name = "TEMPLATE")]
    template: String,

    /// What sandboxes boot from: NAME or NAME:TAG
    #[arg(long, short, value_name = "IMAGE")]
    image: String,

    /// CPUs, such as 2 or 0.5
    #[arg(long, value_name = "CPUS", value_parser = values::vcpu_millis)]
    vcpu: Option<u32>,

    /// Memory, such as 512m or 2g
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,

    /// What a sandbox may write to its own disk, such as 10g
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    disk: Option<u32>,

    /// Processes and threads
    #[arg(long, value_name = "COUNT")]
    pids: Option<u32>,

    #[command(flatten)]
    network: NetworkArgs,

    /// A variable of every command's environment; NAME alone copies the value it has here
    #[arg(long, short, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    env: Vec<Variable>,

    /// Where commands begin
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Who commands are inside: a name, UID or UID:GID
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,

    /// How long sandboxes live at most, such as 2h
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    ttl: Option<Duration>,

    /// How long they may stay unused
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    idle_timeout: Option<Duration>,

    /// Keep it to the key's own project instead of offering it to every project, as is the default
    /// unless the image is the project's own
    #[arg(long)]
    private: bool,

    /// Offer it to every project
    #[arg(long, conflicts_with = "private")]
    shared: bool,

    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(global: &Global, command: TemplatesCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        TemplatesCommand::Ls(args) => list(&client, args).await?,
        TemplatesCommand::Show(args) => {
            let template = client.templates().get(&args.template).await?;
            args.format.one(&template, &facts(&template))?;
        }
        TemplatesCommand::Versions(args) => versions(&client, args).await?,
        TemplatesCommand::Set(args) => {
            let format = args.format;
            let shared = match (args.private, args.shared) {
                (false, false) => is_everybodys(&client, &args.image).await,
                (_, shared) => shared,
            };
            let (name, recipe) = recipe(*args, shared);
            let template = client.templates().set(&name, &recipe).await?;
            format.one(&template, &facts(&template))?;
        }
        TemplatesCommand::Rm(args) => {
            client.templates().remove(&args.template).await?;
            output::line(&args.template)?;
        }
    }
    Ok(Ending::Done)
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let all: Vec<_> = client.templates().all().try_collect().await?;
    args.format.list(
        &all,
        ["NAME", "VERSION", "IMAGE", "CPUS", "MEMORY", "NETWORK"],
        |template| {
            [
                template.name.clone(),
                template.version.to_string(),
                template.image.clone(),
                template.vcpu.to_string(),
                bytes(u64::from(template.memory_mib) << 20),
                template.network.to_string(),
            ]
        },
    )
}

async fn versions(client: &Client, args: VersionsArgs) -> Result<()> {
    let mut all = Vec::new();
    let mut query = PageQuery::default();
    loop {
        let page = client.templates().versions(&args.template, &query).await?;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    args.format.list(
        &all,
        ["VERSION", "ID", "IMAGE", "CPUS", "MEMORY", "CREATED"],
        |template| {
            [
                template.version.to_string(),
                template.version_id.clone(),
                template.image.clone(),
                template.vcpu.to_string(),
                bytes(u64::from(template.memory_mib) << 20),
                time(&template.created_at),
            ]
        },
    )
}

/// An image that is not there yet is pulled for everybody.
async fn is_everybodys(client: &Client, image: &str) -> bool {
    match client.images().get(image).await {
        Ok(image) => image.project_id.is_none(),
        Err(_) => true,
    }
}

fn recipe(args: SetArgs, shared: bool) -> (String, PutTemplate) {
    let recipe = PutTemplate {
        image: args.image,
        vcpu: args.vcpu.map(|millis| f64::from(millis) / 1000.0),
        memory_mib: args.memory,
        disk_mib: args.disk,
        pids: args.pids,
        network: args.network.mode().map(mode),
        network_policy: args.network.policy().as_ref().map(policy),
        env: environment(args.env),
        workdir: args.workdir,
        user: args.user,
        ttl_ms: args.ttl.map(values::milliseconds),
        idle_timeout_ms: args.idle_timeout.map(values::milliseconds),
        shared: Some(shared),
    };
    (args.template, recipe)
}

fn facts(template: &Template) -> Vec<(&'static str, String)> {
    vec![
        ("name", template.name.clone()),
        ("version", template.version.to_string()),
        ("version id", template.version_id.clone()),
        (
            "for",
            template
                .project_id
                .clone()
                .unwrap_or_else(|| "every project".to_owned()),
        ),
        ("image", template.image.clone()),
        ("cpus", template.vcpu.to_string()),
        ("memory", bytes(u64::from(template.memory_mib) << 20)),
        ("disk", bytes(u64::from(template.disk_mib) << 20)),
        ("processes", template.pids.to_string()),
        ("network", template.network.to_string()),
        ("workdir", or_dash(template.workdir.as_ref())),
        ("user", or_dash(template.user.as_ref())),
        ("created", time(&template.created_at)),
    ]
}
