//! `pinfold sandbox`: sandboxes of a server.

mod attached;
mod change;
mod code;
mod contexts;
mod copy;
mod create;
mod exec;
mod list;
mod logs;
mod network;
mod show;
mod snapshot;
mod ssh;
mod ssh_key;

use anyhow::Result;
use clap::Subcommand;
use pinfold_sdk::Sandbox;

use crate::cli::{Global, Late};
use crate::client;
use crate::exit::Ending;
use crate::output::{bytes, or_dash, time};

pub(crate) use copy::tar_of_directory;
pub(crate) use create::{mode, network, policy};

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make one
    Create(Late<create::CreateArgs>),
    /// Those that live
    #[command(visible_alias = "list")]
    Ls(Late<list::ListArgs>),
    /// Everything about one
    Show(Late<show::ShowArgs>),
    /// Run a command in one
    Exec(Late<exec::ExecArgs>),
    /// Run Python, JavaScript or TypeScript in one, with variables that last
    Code(Late<code::CodeArgs>),
    /// Code contexts of one: the interpreters behind `code`
    #[command(subcommand)]
    Contexts(Late<contexts::ContextsCommand>),
    /// Open a shell in one
    Shell(Late<exec::ShellArgs>),
    /// Open a shell in one over SSH, or run what `ssh` can: commands, forwarded ports
    Ssh(Late<ssh::SshArgs>),
    /// Keys that open one over SSH
    #[command(subcommand)]
    SshKey(Late<ssh_key::SshKeyCommand>),
    /// Copy files in or out
    Cp(Late<copy::CopyArgs>),
    /// What its commands wrote
    Logs(Late<logs::LogsArgs>),
    /// Its commands
    Commands(Late<list::CommandsArgs>),
    /// Freeze one: memory and processes kept, no CPU
    Suspend(Late<change::ChangeArgs>),
    /// Let a frozen one go on
    Resume(Late<change::ChangeArgs>),
    /// End its processes and keep its disk
    Stop(Late<change::ChangeArgs>),
    /// Boot a stopped one
    Start(Late<change::ChangeArgs>),
    /// What one may reach; with a mode or rules, change it
    Network(Late<network::ShowOrSetArgs>),
    /// Keep what one has on its disk as an image
    Snapshot(Late<snapshot::SnapshotArgs>),
    /// Give one more time to live
    Extend(Late<change::ExtendArgs>),
    /// End some, and remove everything of them
    #[command(visible_alias = "destroy")]
    Rm(Late<change::RemoveArgs>),
}

impl SandboxCommand {
    /// Whether its exit code is a command's own.
    pub(crate) const fn runs_a_command(&self) -> bool {
        matches!(self, Self::Exec(_) | Self::Shell(_) | Self::Ssh(_))
    }
}

pub(crate) async fn run(global: &Global, command: SandboxCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        SandboxCommand::Create(Late(args)) => create::run(&client, args).await,
        SandboxCommand::Ls(Late(args)) => list::sandboxes(&client, args).await,
        SandboxCommand::Show(Late(args)) => show::run(&client, args).await,
        SandboxCommand::Exec(Late(args)) => exec::exec(&client, args).await,
        SandboxCommand::Code(Late(args)) => code::run(&client, args).await,
        SandboxCommand::Contexts(Late(command)) => contexts::run(&client, command).await,
        SandboxCommand::Shell(Late(args)) => exec::shell(&client, args).await,
        SandboxCommand::Ssh(Late(args)) => ssh::run(&client, args).await,
        SandboxCommand::SshKey(Late(command)) => ssh_key::run(&client, command).await,
        SandboxCommand::Cp(Late(args)) => copy::run(&client, args).await,
        SandboxCommand::Logs(Late(args)) => logs::run(&client, args).await,
        SandboxCommand::Commands(Late(args)) => list::commands(&client, args).await,
        SandboxCommand::Suspend(Late(args)) => change::suspend(&client, args).await,
        SandboxCommand::Resume(Late(args)) => change::resume(&client, args).await,
        SandboxCommand::Stop(Late(args)) => change::stop(&client, args).await,
        SandboxCommand::Start(Late(args)) => change::start(&client, args).await,
        SandboxCommand::Snapshot(Late(args)) => snapshot::run(&client, args).await,
        SandboxCommand::Network(Late(args)) => network::run(&client, args).await,
        SandboxCommand::Extend(Late(args)) => change::extend(&client, args).await,
        SandboxCommand::Rm(Late(args)) => change::remove(&client, args).await,
    }
}

/// A sandbox's facts, for people.
fn facts(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", sandbox.id.clone()),
        ("name", or_dash(sandbox.name.as_ref())),
        ("state", state(sandbox)),
        ("image", sandbox.image.clone()),
        ("cpus", sandbox.vcpu.to_string()),
        ("memory", bytes(u64::from(sandbox.memory_mib) << 20)),
        ("disk", bytes(u64::from(sandbox.disk_mib) << 20)),
        ("network", sandbox.network.to_string()),
        ("workdir", sandbox.workdir.clone()),
        ("user", sandbox.user.clone()),
        ("created", time(&sandbox.created_at)),
        (
            "expires",
            sandbox
                .expires_at
                .as_deref()
                .map_or_else(|| "never".to_owned(), time),
        ),
    ];
    for credential in &sandbox.credentials {
        let (secret, host) = (&credential.secret, &credential.host);
        facts.push((
            "credential",
            format!("{secret} to {host} in {}", credential.header),
        ));
    }
    if let Some(failure) = &sandbox.failure {
        facts.push(("failure", failure.clone()));
    }
    facts
}

fn state(sandbox: &Sandbox) -> String {
    match sandbox.reason {
        Some(reason) => format!("{} ({reason})", sandbox.state),
        None => sandbox.state.to_string(),
    }
}
