//! `pinfold projects`: projects and their quotas.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use pinfold_model::ProjectId;
use pinfold_sdk::{Client, CreateProject, PageQuery, Project, UpdateProject};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{Format, bytes, time};
use crate::quota::{Bounds, ObjectsBound, or_unbounded, shown};

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// Those there are
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Make one
    Create(CreateArgs),
    /// Show or change what one may hold
    Quota(QuotaArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name for it
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    objects: ObjectsBound,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Name or id
    #[arg(value_name = "PROJECT")]
    project: String,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    objects: ObjectsBound,

    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(global: &Global, command: ProjectsCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        ProjectsCommand::Ls(args) => list(&client, args).await?,
        ProjectsCommand::Create(args) => {
            let request = CreateProject {
                name: args.name,
                quota: args.objects.with(args.bounds),
            };
            let project = client.projects().create(&request).await?;
            args.format.one(&project, &facts(&project))?;
        }
        ProjectsCommand::Quota(args) => {
            let mut project = by_name(&client, &args.project).await?;
            let quota = args.objects.with(args.bounds);
            if !quota.is_empty() {
                project = client
                    .projects()
                    .update(&project.id, &UpdateProject { quota })
                    .await?;
            }
            args.format.one(&project, &facts(&project))?;
        }
    }
    Ok(Ending::Done)
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let all = all(client).await?;
    args.format.list(
        &all,
        ["ID", "NAME", "SANDBOXES", "CPUS", "MEMORY", "CREATED"],
        |project| {
            let quota = project.quota;
            [
                project.id.clone(),
                project.name.clone(),
                or_unbounded(quota.live_sandboxes),
                or_unbounded(quota.vcpu),
                or_unbounded(quota.memory_mib.map(|mib| format!("{mib} MiB"))),
                time(&project.created_at),
            ]
        },
    )
}

async fn all(client: &Client) -> Result<Vec<Project>> {
    let mut all = Vec::new();
    let mut query = PageQuery::default();
    loop {
        let page = client.projects().list(&query).await?;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// A project by id, or by a name that only one has.
pub(crate) async fn by_name(client: &Client, name: &str) -> Result<Project> {
    if name.parse::<ProjectId>().is_ok() {
        return Ok(client.projects().get(name).await?);
    }
    let mut found = all(client).await?;
    found.retain(|project| project.name == name);
    match <[Project; 1]>::try_from(found) {
        Ok([project]) => Ok(project),
        Err(none) if none.is_empty() => bail!("no project is named {name:?}"),
        Err(several) => bail!("{} projects are named {name:?}; use an id", several.len()),
    }
}

fn facts(project: &Project) -> Vec<(&'static str, String)> {
    let mut facts = vec![("id", project.id.clone()), ("name", project.name.clone())];
    facts.extend(shown(project.quota));
    let objects = project.quota.object_bytes.map(bytes);
    facts.push(("objects", or_unbounded(objects)));
    facts.push(("created", time(&project.created_at)));
    facts
}
