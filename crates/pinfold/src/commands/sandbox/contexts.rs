//! `pinfold sandbox contexts`: the interpreters behind `pinfold sandbox code`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use pinfold_sdk::{Client, CodeContext, CodeLanguage, CreateCodeContext};

use super::exec::id_of;
use crate::exit::Ending;
use crate::output::{Format, time};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum ContextsCommand {
    /// Those of one sandbox
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Make one
    Create(CreateArgs),
    /// Give one a fresh interpreter; its variables are gone
    Restart(OneArgs),
    /// End one with everything that it started
    Rm(OneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// python, javascript or typescript
    #[arg(long, short, value_parser = language, default_value = "python")]
    language: CodeLanguage,

    /// Where code begins
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// For runs that name none, at most 10m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// End it when it is unused for so long, 1m to 7d [default: 4h]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    idle_timeout: Option<Duration>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Which one
    #[arg(value_name = "CONTEXT_ID")]
    context: String,

    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(client: &Client, command: ContextsCommand) -> Result<Ending> {
    match command {
        ContextsCommand::Ls(args) => list(client, args).await?,
        ContextsCommand::Create(args) => create(client, args).await?,
        ContextsCommand::Restart(args) => {
            let context = client.code().restart_context(&args.context).await?;
            args.format.one(&context, &facts(&context))?;
        }
        ContextsCommand::Rm(args) => {
            let context = client.code().delete_context(&args.context).await?;
            args.format.one(&context, &facts(&context))?;
        }
    }
    Ok(Ending::Done)
}

pub(super) fn language(text: &str) -> Result<CodeLanguage, String> {
    match CodeLanguage::from_word(text) {
        CodeLanguage::Unknown => Err("python, javascript or typescript".to_owned()),
        known => Ok(known),
    }
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let sandbox = id_of(client, &args.sandbox).await?;
    let all = client.code().contexts(&sandbox).await?;
    let columns = [
        "ID",
        "LANGUAGE",
        "DEFAULT",
        "DIRECTORY",
        "LAST USED",
        "EXPIRES",
    ];
    args.format.list(&all, columns, |context| {
        [
            context.id.clone(),
            context.language.to_string(),
            if context.is_default { "yes" } else { "no" }.to_owned(),
            context.cwd.clone(),
            time(&context.last_used_at),
            time(&context.expires_at),
        ]
    })
}

async fn create(client: &Client, args: CreateArgs) -> Result<()> {
    let sandbox = id_of(client, &args.sandbox).await?;
    let request = CreateCodeContext {
        language: args.language,
        cwd: args.workdir,
        timeout_ms: args.timeout.map(values::milliseconds),
        idle_timeout_ms: args.idle_timeout.map(values::milliseconds),
    };
    let context = client.code().create_context(&sandbox, &request).await?;
    args.format.one(&context, &facts(&context))
}

fn facts(context: &CodeContext) -> Vec<(&'static str, String)> {
    vec![
        ("id", context.id.clone()),
        ("sandbox", context.sandbox_id.clone()),
        ("language", context.language.to_string()),
        ("directory", context.cwd.clone()),
        ("interpreters", context.generation.to_string()),
        ("expires", time(&context.expires_at)),
    ]
}
