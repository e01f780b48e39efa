//! `pinfold sandbox ls` and `pinfold sandbox commands`.

use anyhow::Result;
use clap::Args;
use futures::TryStreamExt;
use pinfold_sdk::{Client, Command, ListCommands, ListSandboxes};

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{Format, or_dash, time};
use crate::values;

use super::state;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those that have ended too
    #[arg(long, short)]
    all: bool,

    /// Only those whose metadata says so
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    metadata: Vec<(String, String)>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct CommandsArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    format: Format,
}

pub(super) async fn sandboxes(client: &Client, args: ListArgs) -> Result<Ending> {
    let query = ListSandboxes {
        include_ended: args.all.then_some(true),
        metadata: args.metadata.into_iter().collect(),
        ..ListSandboxes::default()
    };
    let all: Vec<_> = client.sandboxes().all(query).try_collect().await?;
    let columns = ["ID", "NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "CREATED"];
    args.format.list(&all, columns, |sandbox| {
        [
            sandbox.id.clone(),
            or_dash(sandbox.name.as_ref()),
            state(sandbox),
            sandbox.image.clone(),
            sandbox.vcpu.to_string(),
            format!("{} MiB", sandbox.memory_mib),
            time(&sandbox.created_at),
        ]
    })?;
    Ok(Ending::Done)
}

pub(super) async fn commands(client: &Client, args: CommandsArgs) -> Result<Ending> {
    let sandbox = sandbox(client, &args.sandbox).await?;
    let all = all_commands(client, &sandbox.id).await?;
    let columns = ["ID", "STATE", "CODE", "STARTED", "COMMAND"];
    args.format.list(&all, columns, |command| {
        [
            command.id.clone(),
            command.state.to_string(),
            or_dash(command.shell_code().as_ref()),
            command
                .started_at
                .as_deref()
                .map_or_else(|| "-".to_owned(), time),
            line(command),
        ]
    })?;
    Ok(Ending::Done)
}

async fn all_commands(client: &Client, sandbox: &str) -> Result<Vec<Command>> {
    let mut all = Vec::new();
    let mut query = ListCommands::default();
    loop {
        let page = client.commands().list(sandbox, &query).await?;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// As it was asked for, short enough for a table.
fn line(command: &Command) -> String {
    const SHOWN_MAX_CHARS: usize = 60;
    let whole = match (&command.shell, &command.argv) {
        (Some(line), _) => line.clone(),
        (None, Some(argv)) => argv.join(" "),
        (None, None) => String::new(),
    };
    if whole.chars().count() <= SHOWN_MAX_CHARS {
        return whole;
    }
    whole
        .chars()
        .take(SHOWN_MAX_CHARS - 3)
        .chain("...".chars())
        .collect()
}
