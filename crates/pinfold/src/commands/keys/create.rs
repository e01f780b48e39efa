//! `pinfold keys create`: through the server, or on the data directory where none runs.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pinfold_engine::{CreateKey, Drain, Engine, EngineConfig, Expires, PageRequest};
use pinfold_model::{Ctx, ProjectId, Scope, Scopes};
use serde::Serialize;

use crate::cli::Global;
use crate::client;
use crate::commands::projects;
use crate::compose;
use crate::output::{Format, json, line, remark};
use crate::paths::DataDir;
use crate::quota::Bounds;
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What it may do
    #[arg(long, value_enum)]
    role: Role,

    /// Who holds it
    #[arg(long, value_enum, default_value = "user")]
    kind: Kind,

    /// A name for it
    #[arg(long, value_name = "NAME", default_value = "cli")]
    name: String,

    /// Name or id of the project it is for [default: the caller's own]
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// How long it is valid, such as 90d [default: as long as the key that makes it]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires: Option<Duration>,

    /// Confines it, such as sandboxes:write or objects:read; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Manages projects, keys and quotas too
    Admin,
    /// Uses sandboxes, files, images and templates of its project
    Member,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    User,
    Agent,
    /// A person's own token for scripts
    Pat,
}

/// The same whether a server made it or we did.
#[derive(Serialize)]
struct Created {
    id: String,
    name: String,
    secret: String,
}

pub(super) async fn run(global: &Global, args: CreateArgs) -> Result<()> {
    let format = args.format;
    let created = match client::is_served(global).await? {
        true => through_server(global, args).await?,
        false => directly(global, args).await?,
    };
    if format.json {
        return json(&created);
    }
    line(&created.secret)?;
    remark(&format!(
        "{} ({}); the secret is not shown again",
        created.id, created.name
    ));
    Ok(())
}

async fn through_server(global: &Global, args: CreateArgs) -> Result<Created> {
    let client = client::connect(global)?;
    let project_id = match &args.project {
        Some(project) => Some(projects::by_name(&client, project).await?.id),
        None => None,
    };
    let request = pinfold_sdk::CreateKey {
        name: args.name,
        role: match args.role {
            Role::Admin => pinfold_sdk::Role::Admin,
            Role::Member => pinfold_sdk::Role::Member,
        },
        kind: Some(match args.kind {
            Kind::User => pinfold_sdk::KeyKind::User,
            Kind::Agent => pinfold_sdk::KeyKind::Agent,
            Kind::Pat => pinfold_sdk::KeyKind::Pat,
        }),
        project_id,
        scopes: scopes(&args.scopes)?.texts(),
        expires_in_ms: args.expires.map(values::milliseconds),
        quota: args.bounds.into(),
    };
    let created = client.keys().create(&request).await?;
    Ok(Created {
        id: created.key.id,
        name: created.key.name,
        secret: created.secret,
    })
}

/// None named is no confinement.
fn scopes(named: &[Scope]) -> Result<Scopes> {
    match named {
        [] => Ok(Scopes::All),
        named => Ok(Scopes::only(named.iter().copied())?),
    }
}

async fn directly(global: &Global, args: CreateArgs) -> Result<Created> {
    let data = DataDir::locate(global.data_dir.as_deref())?;
    let config = EngineConfig::default();
    let engine = compose::offline_engine(&data, global.database.as_deref(), config).await?;
    let created = create(&engine, args).await;
    engine.shutdown(Drain::KeepSandboxes).await;
    created
}

async fn create(engine: &Engine, args: CreateArgs) -> Result<Created> {
    let ctx = Ctx::new(engine.system_principal());
    let project = match &args.project {
        Some(project) => Some(project_named(engine, &ctx, project).await?),
        None => None,
    };
    let request = CreateKey {
        name: args.name,
        role: match args.role {
            Role::Admin => pinfold_model::Role::Admin,
            Role::Member => pinfold_model::Role::Member,
        },
        kind: match args.kind {
            Kind::User => pinfold_model::KeyKind::User,
            Kind::Agent => pinfold_model::KeyKind::Agent,
            Kind::Pat => pinfold_model::KeyKind::Pat,
        },
        project,
        scopes: scopes(&args.scopes)?,
        expires: args.expires.map(Expires::In),
        quota: args.bounds.into(),
    };
    let created = engine.create_key(&ctx, request).await?;
    Ok(Created {
        id: created.key.id.to_string(),
        name: created.key.name,
        secret: created.secret,
    })
}

async fn project_named(engine: &Engine, ctx: &Ctx, name: &str) -> Result<ProjectId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let mut request = PageRequest::default();
    loop {
        let page = engine.list_projects(ctx, &request).await?;
        if let Some(project) = page.items.into_iter().find(|project| project.name == name) {
            return Ok(project.id);
        }
        match page.next {
            Some(next) => request = PageRequest::new(pinfold_model::limits::PAGE_MAX, Some(next)),
            None => bail!("no project is named {name:?}"),
        }
    }
}
