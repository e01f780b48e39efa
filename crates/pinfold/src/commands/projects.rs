//! `pinfold projects`: projects and their quotas.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use pinfold_model::ProjectId;
use pinfold_sdk::{Client, CreateProject, PageQuery, Project, QuotaChange, UpdateProject};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{Format, bytes, time};
use crate::values;

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
    format: Format,
}

/// What live sandboxes, and objects, may hold together.
#[derive(Debug, Args)]
struct Bounds {
    /// Live sandboxes, or none for no bound
    #[arg(long, value_name = "COUNT", value_parser = bound::<u32>)]
    sandboxes: Option<Bound<u32>>,

    /// CPUs, or none for no bound
    #[arg(long, value_name = "CPUS", value_parser = bound::<f64>)]
    vcpu: Option<Bound<f64>>,

    /// Memory, such as 64g, or none for no bound
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<Bound<u64>>,

    /// Content of all objects, such as 500g, or none for no bound
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    objects: Option<Bound<u64>>,
}

/// A number, or no bound at all.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound<T>(Option<T>);

fn bound<T: std::str::FromStr>(text: &str) -> Result<Bound<T>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    let number = text
        .parse()
        .map_err(|_| format!("{text:?} is neither a number nor none"))?;
    Ok(Bound(Some(number)))
}

fn memory(text: &str) -> Result<Bound<u64>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    values::size_mib(text).map(|mib| Bound(Some(mib.into())))
}

impl From<Bounds> for QuotaChange {
    fn from(bounds: Bounds) -> Self {
        Self {
            live_sandboxes: bounds.sandboxes.map(|bound| bound.0),
            vcpu: bounds.vcpu.map(|bound| bound.0),
            memory_mib: bounds.memory.map(|bound| bound.0),
            object_bytes: bounds.objects.map(|bound| bound.0.map(|mib| mib << 20)),
        }
    }
}

pub(crate) async fn run(global: &Global, command: ProjectsCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        ProjectsCommand::Ls(args) => list(&client, args).await?,
        ProjectsCommand::Create(args) => {
            let request = CreateProject {
                name: args.name,
                quota: args.bounds.into(),
            };
            let project = client.projects().create(&request).await?;
            args.format.one(&project, &facts(&project))?;
        }
        ProjectsCommand::Quota(args) => {
            let mut project = by_name(&client, &args.project).await?;
            let quota = QuotaChange::from(args.bounds);
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
    let quota = project.quota;
    vec![
        ("id", project.id.clone()),
        ("name", project.name.clone()),
        ("sandboxes", or_unbounded(quota.live_sandboxes)),
        ("cpus", or_unbounded(quota.vcpu)),
        (
            "memory",
            or_unbounded(quota.memory_mib.map(|mib| format!("{mib} MiB"))),
        ),
        ("objects", or_unbounded(quota.object_bytes.map(bytes))),
        ("created", time(&project.created_at)),
    ]
}

fn or_unbounded(bound: Option<impl ToString>) -> String {
    bound.map_or_else(|| "no bound".to_owned(), |bound| bound.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_can_be_removed() {
        assert_eq!(bound::<u32>("none"), Ok(Bound(None)));
        assert_eq!(bound::<u32>("7"), Ok(Bound(Some(7))));
        assert!(bound::<u32>("-7").is_err());
        assert_eq!(memory("2g"), Ok(Bound(Some(2048))));
    }
}
