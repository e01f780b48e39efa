//! `pinfold sandbox exec` and `pinfold sandbox shell`.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use pinfold_model::SandboxId;
use pinfold_sdk::{Client, PtyQuery, StartCommand, StdinMode, WindowSize};

use crate::client::sandbox;
use crate::commands::run::{TerminalArgs, copy_term, environment, text_arguments};
use crate::exit::Ending;
use crate::run::terminal_size;
use crate::values::{self, Variable};

use super::attached;

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// A variable of its environment; NAME alone copies the value it has here
    #[arg(long, short, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    env: Vec<Variable>,

    /// Where the command begins
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Who it is inside: a name, UID or UID:GID
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,

    /// Kill the command after this time, such as 90s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Output that the server keeps, and so passes on, such as 1g [default: 64m]
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    output_cap: Option<u32>,

    #[command(flatten)]
    terminal: TerminalArgs,

    /// Start it, print its id and leave it running
    #[arg(long, short)]
    detach: bool,

    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// What to run
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Where the shell begins
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Who it is inside: a name, UID or UID:GID
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,
}

pub(super) async fn exec(client: &Client, args: ExecArgs) -> Result<Ending> {
    let has_terminal = !args.detach && args.terminal.wanted();
    let mut env = environment(args.env);
    if has_terminal {
        copy_term(&mut env);
    }
    let input = !args.detach && !has_terminal && !crate::run::stdin_is_null();
    let request = StartCommand {
        argv: Some(text_arguments(args.command)?),
        cwd: args.workdir,
        env,
        user: args.user,
        stdin: input.then_some(StdinMode::Open),
        tty: has_terminal.then(window),
        timeout_ms: args.timeout.map(values::milliseconds),
        output_cap_bytes: args.output_cap.map(|mib| u64::from(mib) << 20),
        ..StartCommand::default()
    };
    let sandbox = id_of(client, &args.sandbox).await?;
    let command = client.commands().start(&sandbox, &request).await?;
    if args.detach {
        crate::output::line(&command.id)?;
        return Ok(Ending::Done);
    }
    if !has_terminal {
        return attached::pipes(client, &command, input).await;
    }
    let query = PtyQuery {
        command_id: Some(command.id),
        ..PtyQuery::default()
    };
    attached::terminal(client, &sandbox, &query).await
}

pub(super) async fn shell(client: &Client, args: ShellArgs) -> Result<Ending> {
    let sandbox = id_of(client, &args.sandbox).await?;
    let size = window();
    let query = PtyQuery {
        rows: Some(size.rows),
        cols: Some(size.cols),
        cwd: args.workdir,
        user: args.user,
        ..PtyQuery::default()
    };
    attached::terminal(client, &sandbox, &query).await
}

/// An id needs no look-up: what does not exist is told by the next request.
pub(super) async fn id_of(client: &Client, name: &str) -> Result<String> {
    if name.parse::<SandboxId>().is_ok() {
        return Ok(name.to_owned());
    }
    Ok(sandbox(client, name).await?.id)
}

fn window() -> WindowSize {
    let size = terminal_size();
    WindowSize {
        rows: size.rows,
        cols: size.cols,
    }
}
