//! `pinfold secrets`: values that sandboxes use and never see.
//!
//! A value comes from stdin, typed without an echo where that is a terminal; never from the command line,
//! which everybody on a machine can read and shells remember.

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use pinfold_model::limits::SECRET_VALUE_MAX_BYTES;
use pinfold_sdk::Secret;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{self, Format, or_dash, time};
use crate::run::Hidden;

/// A value with the line break behind it.
const INPUT_MAX_BYTES: u64 = SECRET_VALUE_MAX_BYTES as u64 + 2;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Those of the project, without their values
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// What is known of one beside its value
    Show(ShowArgs),
    /// Make one, or give it a new value, from stdin or a prompt
    Set(SetArgs),
    /// Delete one: requests that should have had it are refused
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Its name: letters, digits, '.', '_' and '-'
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) async fn run(global: &Global, command: SecretsCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        SecretsCommand::Ls(args) => {
            let all: Vec<_> = client.secrets().all().try_collect().await?;
            args.format
                .list(&all, ["NAME", "CREATED", "UPDATED", "BY"], |secret| {
                    [
                        secret.name.clone(),
                        time(&secret.created_at),
                        time(&secret.updated_at),
                        or_dash(secret.created_by.as_ref()),
                    ]
                })?;
        }
        SecretsCommand::Show(args) => {
            let secret = client.secrets().get(&args.name).await?;
            args.format.one(&secret, &facts(&secret))?;
        }
        SecretsCommand::Set(args) => {
            let value = value(&args.name).await?;
            let secret = client.secrets().set(&args.name, value).await?;
            args.format.one(&secret, &facts(&secret))?;
        }
        SecretsCommand::Rm(args) => {
            client.secrets().delete(&args.name).await?;
            output::line(&args.name)?;
        }
    }
    Ok(Ending::Done)
}

fn facts(secret: &Secret) -> Vec<(&'static str, String)> {
    vec![
        ("id", secret.id.clone()),
        ("name", secret.name.clone()),
        ("project", secret.project_id.clone()),
        ("created", time(&secret.created_at)),
        ("updated", time(&secret.updated_at)),
        ("created by", or_dash(secret.created_by.as_ref())),
    ]
}

async fn value(name: &str) -> Result<String> {
    let text = match io::stdin().is_terminal() {
        true => typed(name).await?,
        false => reading(read_all).await?,
    };
    match without_line_break(&text) {
        "" => bail!("no value came on stdin"),
        value => Ok(value.to_owned()),
    }
}

/// A line of the terminal. It shows what is typed again however this ends, `^C` included.
async fn typed(name: &str) -> Result<String> {
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let hidden = Hidden::begin().context("cannot use the terminal")?;
    eprint!("Value of {}: ", output::printable(name));
    let line = tokio::select! {
        line = reading(read_line) => line,
        _ = interrupted.recv() => Err(anyhow::anyhow!("interrupted; nothing was set")),
    };
    drop(hidden);
    output::remark("");
    line
}

async fn reading(read: fn() -> io::Result<String>) -> Result<String> {
    let read = tokio::task::spawn_blocking(read).await?;
    let text = read.context("cannot read the value from stdin")?;
    if text.len() as u64 > INPUT_MAX_BYTES {
        bail!("a secret's value is at most {SECRET_VALUE_MAX_BYTES} bytes");
    }
    Ok(text)
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

fn read_all() -> io::Result<String> {
    let mut text = String::new();
    io::stdin()
        .take(INPUT_MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Files and `echo` end with a line break that is no part of the value, unless the value has several lines:
/// keys in PEM are none without their last one.
fn without_line_break(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    match line.contains('\n') {
        true => text,
        false => line.strip_suffix('\r').unwrap_or(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_of_a_single_line_is_taken_off() {
        for (text, value) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n\n"),
            ("a\r\nb\n", "a\r\nb\n"),
            (" a ", " a "),
            ("\n", ""),
        ] {
            assert_eq!(without_line_break(text), value, "{text:?}");
        }
    }
}
